"""Filters listed by an index table, read ahead so that one is there in every cycle of a load or a stream."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.hw.signatures import POSITION_BITS, TABLE_BITS, table_read

AHEAD = 3
"""Entries at the head of a tile's list that are kept in registers."""

OTHER = AHEAD
"""Tag of an entry that is none of these."""


class FilterList(wiring.Component):
    """``entry`` is the filter whose address is registered at the end of this cycle.

    That is, of a tile's list, the entry behind the one whose address stands in the address register, or entry 0 when
    the next tile's start is taken (``starts``). A position goes to the table's memory a cycle before its entry is
    there, and nobody can tell in this cycle whether the one before it will be used in the next. So as long as a tile
    has not begun (``first``), its first three entries are read in turn, again and again, into registers; the table may
    still change. Behind the first ``fire`` an entry is used in every cycle: while more than two are left, position i +
    2 is read when entry i fires (``own``), and used in the cycle after. Then the next tile's turn begins.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "fire": In(1),
                "first": In(1),
                "starts": In(1),
                "own": In(1),
                "table": In(TABLE_BITS),
                "next_table": In(TABLE_BITS),
                "next_begin": In(POSITION_BITS),
                "entry": Out(POSITION_BITS),
                "read": Out(table_read()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arriving = self.read.entry[:POSITION_BITS]
        turn, tag = Signal(range(AHEAD)), Signal(range(AHEAD + 1), init=OTHER)
        settles, second = Signal(), Signal()
        position = Signal(POSITION_BITS, reset_less=True)
        kept = [Signal(POSITION_BITS, name=f"kept_{n}", reset_less=True) for n in range(AHEAD)]
        values = [Signal(POSITION_BITS, name=f"value_{n}") for n in range(AHEAD)]
        for number, (register, value) in enumerate(zip(kept, values, strict=True)):
            m.d.comb += value.eq(Mux(tag == number, arriving, register))
            m.d.sync += register.eq(value)
        m.d.comb += [
            self.read.table.eq(Mux(self.own, self.table, self.next_table)),
            self.read.position.eq(Mux(self.own, position, self.next_begin + turn)),
        ]
        m.d.sync += [tag.eq(Mux(self.own, OTHER, turn)), settles.eq(0), second.eq(0)]
        # In the cycle behind a tile's first ``fire``, the start of the one behind it is not known yet. (A second tile
        # that comes so soon is of the same block; then what is kept holds.)
        with m.If(self.own | settles):
            m.d.sync += turn.eq(0)
        with m.Else():
            m.d.sync += turn.eq(Mux(turn == AHEAD - 1, 0, turn + 1))
        with m.If(self.fire):
            m.d.sync += position.eq(position + 1)
            with m.If(self.first):
                m.d.sync += [position.eq(self.next_begin + AHEAD), turn.eq(0), settles.eq(1), second.eq(1)]
        with m.If(self.starts):
            m.d.comb += self.entry.eq(values[0])
        with m.Elif(self.first):
            m.d.comb += self.entry.eq(values[1])
        with m.Elif(second):
            m.d.comb += self.entry.eq(values[2])
        with m.Else():
            m.d.comb += self.entry.eq(arriving)
        return m
