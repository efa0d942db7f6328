"""The index tables and their counts."""

from __future__ import annotations

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import MASK_GROUP_BITS, TABLE_ENTRIES_PER_BEAT, TABLE_ENTRY_BITS
from gatewright.contract.registers import ErrorCode
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import TABLE_READ, table_counts, table_read, table_write_group, table_write_row

_IN_ROW = ceil_log2(TABLE_ENTRIES_PER_BEAT)

_PART = 4
"""Entries that share a block memory, by a byte of each: it writes 32 bits and reads 8 of them."""

_PARTS, _BYTES = TABLE_ENTRIES_PER_BEAT // _PART, TABLE_ENTRY_BITS // 8
assert _PART == MASK_GROUP_BITS
assert _PARTS == 2, "a group of entries lies in one part of a row and in the other, of that row or of the next"


class Tables(wiring.Component):
    """Block memories of rows of 8 entries with a read port for each of TABLE_READ, and counts in registers.

    A block memory itself chooses among the entries of half a row, as its ports differ in width: behind it, where the
    time is short, two halves are left.

    INDEX writes a group of entries, LOAD a row, or a count, at the end of the cycle; ``conflict``: both do. Addresses
    wrap at the power of two that holds ``table_entries``.
    """

    CONFLICT = ErrorCode.TABLE_PORT

    def __init__(self, arch: ArchConfig) -> None:
        self._tables = arch.tables
        self._row_bits = max(1, ceil_log2(-(-arch.table_entries // TABLE_ENTRIES_PER_BEAT)))
        super().__init__(
            {
                "index": In(table_write_group(arch)),
                "load": In(table_write_row(arch)),
                "counts": Out(table_counts(arch)),
                **{reader: In(table_read()) for reader in TABLE_READ},
                "conflict": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index, load = self.index, self.load
        rows = [Signal(range(self._tables << self._row_bits), name=f"row_{part}") for part in range(_PARTS)]
        entries = Signal(data.ArrayLayout(TABLE_ENTRY_BITS, TABLE_ENTRIES_PER_BEAT))
        enable = Signal(TABLE_ENTRIES_PER_BEAT)
        # The first entry's place in its part, and that part. Behind the place, lanes are of the part behind.
        place, part = index.position[: ceil_log2(_PART)], index.position[ceil_log2(_PART)]
        row = index.position[_IN_ROW : _IN_ROW + self._row_bits]
        first = Cat(index.enable[lane] & (lane >= place) for lane in range(_PART))
        second = Cat(index.enable[lane] & (lane < place) for lane in range(_PART))
        with m.If(load.valid):
            m.d.comb += [
                *(each.eq(Cat(load.row[: self._row_bits], load.table)) for each in rows),
                entries.eq(load.entries),
                enable.eq(load.enable),
            ]
        with m.Else():
            m.d.comb += [
                rows[0].eq(Cat((row + part)[: self._row_bits], index.table)),
                rows[1].eq(Cat(row, index.table)),
                entries.as_value().eq(index.entries.as_value().replicate(_PARTS)),
                enable.eq(Mux(part, Cat(second, first), Cat(first, second))),
            ]
        blocks = [
            self._block(m, f"block_{part}_{byte}", rows[part], parts, enable[part * _PART : (part + 1) * _PART])
            for part in range(_PARTS)
            for byte in range(_BYTES)
            for parts in [[entries[part * _PART + place].word_select(byte, 8) for place in range(_PART)]]
        ]
        for number in range(self._tables):
            for writer in (index, load):
                with m.If(writer.set_count & (writer.table == number)):
                    m.d.sync += self.counts[number].eq(writer.count)
        m.d.comb += self.conflict.eq((index.enable.any() | index.set_count) & (load.valid | load.set_count))

        for name, latency in TABLE_READ.items():
            reader = getattr(self, name)
            reads = [block.read_port() for block in blocks]
            place = reader.position[: ceil_log2(_PART)]
            for read in reads:
                m.d.comb += read.addr.eq(Cat(place, reader.position[_IN_ROW : _IN_ROW + self._row_bits], reader.table))
            part = Signal(_IN_ROW - len(place), name=f"{name}_part", reset_less=True)
            m.d.sync += part.eq(reader.position[len(place) : _IN_ROW])
            words = [Cat(read.data for read in reads[first : first + _BYTES]) for first in range(0, len(reads), _BYTES)]
            m.d.comb += reader.entry.eq(delayed(m, Array(words)[part], latency - 1, f"{name}_entry"))
        return m

    def _block(self, m: Module, name: str, row: Value, bytes_: list[Value], enable: Value) -> memory.Memory:
        """A block memory with a byte of each of _PART entries of every row, all written at once and read one by one."""
        block = memory.Memory(shape=8, depth=self._tables << self._row_bits + ceil_log2(_PART), init=[])
        m.submodules[name] = block
        for place, byte in enumerate(bytes_):
            write = block.write_port()
            m.d.comb += [
                write.addr.eq(Cat(Const(place, ceil_log2(_PART)), row)),
                write.data.eq(byte),
                write.en.eq(enable[place]),
            ]
        return block
