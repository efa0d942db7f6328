"""The index tables and their counts."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import TABLE_ENTRIES_PER_BEAT, TABLE_ENTRY_BITS
from gatewright.contract.registers import ErrorCode
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import TABLE_READ, table_counts, table_read, table_write_entry, table_write_row

_IN_ROW = ceil_log2(TABLE_ENTRIES_PER_BEAT)


class Tables(wiring.Component):
    """A block memory of rows of 8 entries with a read port for each of TABLE_READ, and counts in registers.

    INDEX writes an entry, LOAD a row, or a count, at the end of the cycle; ``conflict``: both do. Addresses wrap at
    the power of two that holds ``table_entries``.
    """

    CONFLICT = ErrorCode.TABLE_PORT

    def __init__(self, arch: ArchConfig) -> None:
        self._tables = arch.tables
        self._row_bits = max(1, ceil_log2(-(-arch.table_entries // TABLE_ENTRIES_PER_BEAT)))
        super().__init__(
            {
                "index": In(table_write_entry(arch)),
                "load": In(table_write_row(arch)),
                "counts": Out(table_counts(arch)),
                **{reader: In(table_read()) for reader in TABLE_READ},
                "conflict": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row = data.ArrayLayout(TABLE_ENTRY_BITS, TABLE_ENTRIES_PER_BEAT)
        m.submodules.rows = rows = memory.Memory(shape=row, depth=self._tables << self._row_bits, init=[])
        write = rows.write_port(granularity=1)
        index, load = self.index, self.load
        place = Signal(TABLE_ENTRIES_PER_BEAT)
        m.d.comb += place.eq(1 << index.position[:_IN_ROW])
        with m.If(load.valid):
            m.d.comb += [
                write.addr.eq(Cat(load.row[: self._row_bits], load.table)),
                write.data.eq(load.entries),
                write.en.eq(load.enable),
            ]
        with m.Else():
            m.d.comb += [
                write.addr.eq(Cat(index.position[_IN_ROW : _IN_ROW + self._row_bits], index.table)),
                write.data.eq(index.entry.replicate(TABLE_ENTRIES_PER_BEAT)),
                write.en.eq(Mux(index.valid, place, 0)),
            ]
        for number in range(self._tables):
            for writer in (index, load):
                with m.If(writer.set_count & (writer.table == number)):
                    m.d.sync += self.counts[number].eq(writer.count)
        m.d.comb += self.conflict.eq((index.valid | index.set_count) & (load.valid | load.set_count))

        for name, latency in TABLE_READ.items():
            reader, read = getattr(self, name), rows.read_port()
            which = Signal(_IN_ROW, name=f"{name}_place", reset_less=True)
            m.d.sync += which.eq(reader.position[:_IN_ROW])
            m.d.comb += [
                read.addr.eq(Cat(reader.position[_IN_ROW : _IN_ROW + self._row_bits], reader.table)),
                reader.entry.eq(delayed(m, read.data[which], latency - 1, f"{name}_entry")),
            ]
        return m
