"""The mask bits: two banks of block memory, with a copy for each reader."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import MASK_BITS, MASK_COLUMNS, MASKS, MOST_COLUMNS, ArchConfig
from gatewright.contract.encodings import MASK_WORD_BITS
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.rotation import rotate_down, rotate_up
from gatewright.hw.signatures import MASK_WRITE, mask_read_columns, mask_read_word, mask_write

BANKS, ROW_BITS = 2, 32
ROWS = MASKS * MASK_BITS // ROW_BITS // BANKS
RING_BITS = BANKS * ROW_BITS
"""Bits of a row of every bank."""

_ROW, _BANK_PLACE, _PLACE = ceil_log2(ROWS), ceil_log2(ROW_BITS), ceil_log2(RING_BITS)

assert MOST_COLUMNS <= ROW_BITS
_COARSE = 16
"""Bits among which a reader chooses behind a register: in front of it, behind the memory, it chooses one of four."""

assert RING_BITS // _COARSE == 4
assert MASK_WRITE == 3


def _rows(number: Value, width: int) -> list[Value]:
    """Each bank's row of a part's number, as far as it and the part behind it are in it; a part has ``width`` bits.

    At the end of all parts it wraps.
    """
    low = ceil_log2(RING_BITS // width)
    return [(number + 1)[low : len(number)], number[low:]]


class Masks(wiring.Component):
    """Bits 32 w to 32 w + 31 of all masks lie in row w div 2 of bank w mod 2: any 33 neighbours are read in a cycle.

    A write takes any ``count`` bits at any address. The banks' rows are read, changed, and written MASK_WRITE cycles
    behind the request. Of the requests that follow each other in fewer cycles than that each has to begin where the one
    before ended, as an EPILOGUE's do: a bank's last row is then all that is missing in the memory, and is kept.

    Addresses wrap at the end of all masks. After reset the memory is cleared, a row a cycle: ``busy``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._columns = arch.columns
        super().__init__(
            {
                "write": In(mask_write(arch)),
                "gather": In(mask_read_columns()),
                "index": In(mask_read_word()),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._banks = [memory.Memory(shape=ROW_BITS, depth=ROWS, init=[]) for _ in range(BANKS)]
        for number, bank in enumerate(self._banks):
            m.submodules[f"bank_{number}"] = bank
        self._write(m)
        self._read_columns(m)
        self._read_word(m)
        return m

    def _ring(self, m: Module, rows: list[Value]) -> Value:
        """A row of each bank, a cycle later: bit n is bit n mod RING_BITS of the masks."""
        words = []
        for bank, row in zip(self._banks, rows, strict=True):
            read = bank.read_port()
            m.d.comb += read.addr.eq(row)
            words.append(read.data)
        return Cat(words)

    def _read_columns(self, m: Module) -> None:
        """For GATHER: the part in which the bits begin, and those behind it, the register; then the bits."""
        rows = _rows(self.gather.bit[_BANK_PLACE:], ROW_BITS)
        ring = self._ring(m, [Cat(row, self.gather.mask) for row in rows])
        part, first = self._place(m, self.gather.bit, "gather")
        near = delayed(m, rotate_down(m, ring, _COARSE, part, "gather_part")[: _COARSE + MASK_COLUMNS - 1], 1, "near")
        m.d.comb += self.gather.bits.eq(near.bit_select(first, MASK_COLUMNS))

    def _read_word(self, m: Module) -> None:
        """For INDEX: the rows of the word that was asked for in the cycle before, and of the one behind it."""
        low = ceil_log2(RING_BITS // MASK_WORD_BITS)
        ring = self._ring(m, [self.index.next_word[low:], self.index.word[low:]])
        place = self.index.word[: ceil_log2(RING_BITS // MASK_WORD_BITS)]
        m.d.sync += self.index.bits.eq(ring.word_select(place, MASK_WORD_BITS))

    def _place(self, m: Module, bit: Value, name: str) -> tuple[Value, Value]:
        """Of a bit asked for: its part of the ring, a cycle later, and its place in that, two cycles later."""
        fine = ceil_log2(_COARSE)
        place = delayed(m, bit[:_PLACE], 1, f"{name}_place")
        return place[fine:], delayed(m, place[:fine], 1, f"{name}_first")

    def _write(self, m: Module) -> None:
        """EPILOGUE's bits, or zeros after reset."""
        cleared = Signal(_ROW + 1)
        m.d.comb += self.busy.eq(~cleared[-1])
        with m.If(self.busy):
            m.d.sync += cleared.eq(cleared + 1)
        valid = Signal(MASK_WRITE)
        m.d.sync += valid.eq(Cat(self.write.valid, valid[:-1]))
        changes, new = self._changes(m)
        rows = _rows(self.write.address[_BANK_PLACE:], ROW_BITS)
        old = delayed(m, self._ring(m, rows), 1, "old")
        for number, bank in enumerate(self._banks):
            row = delayed(m, rows[number], MASK_WRITE - 1, f"write_row_{number}")
            last_row, last = Signal(_ROW, name=f"last_row_{number}"), Signal(ROW_BITS, name=f"last_{number}")
            mine = slice(number * ROW_BITS, (number + 1) * ROW_BITS)
            before = Mux(row == last_row, last, old[mine])
            with m.If(valid[1]):
                m.d.sync += [last_row.eq(row), last.eq((before & ~changes[mine]) | (new[mine] & changes[mine]))]
            write = bank.write_port()
            m.d.comb += [
                write.addr.eq(Mux(self.busy, cleared[:-1], last_row)),
                # Zero until the first request.
                write.data.eq(last),
                write.en.eq(self.busy | valid[2]),
            ]

    def _changes(self, m: Module) -> tuple[Value, Value]:
        """Two cycles behind the request: which bits of the ring change, and to what.

        The ring is so many times the lanes. The request's first bit is in one of these parts, the last one in it or in
        the one behind it.
        """
        lanes = 1 << ceil_log2(self._columns)
        parts, lane = RING_BITS // lanes, ceil_log2(lanes)
        place = delayed(m, self.write.address[:_PLACE], 1, "write_place")
        count = delayed(m, self.write.count, 1, "write_count")
        bits = delayed(m, self.write.bits, 1, "write_bits")
        begin, part = place[:lane], place[lane:]
        end = begin + count
        turned = rotate_up(m, Cat(bits, Const(0, lanes - self._columns)), 1, begin, "turned_bits")
        in_first = Cat((number >= begin) & (number < end) for number in range(lanes))
        in_second = Cat(lanes + number < end for number in range(lanes))
        first = Cat(part == number for number in range(parts))
        new, in_first, in_second, first = (
            delayed(m, value, 1, name)
            for value, name in ((turned, "new"), (in_first, "in_first"), (in_second, "in_second"), (first, "first"))
        )
        second = first.rotate_left(1)
        changes = [
            (in_first & first[number].replicate(lanes)) | (in_second & second[number].replicate(lanes))
            for number in range(parts)
        ]
        return Cat(changes), new.replicate(parts)
