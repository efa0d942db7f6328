"""Filters listed by an index table, read ahead so that one is there in every cycle of a load or a stream."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.timing import ACCUMULATOR_LATENCY, DECODE_LATENCY
from gatewright.hw.signatures import POSITION_BITS, TABLE_BITS, TABLE_READ, table_read

READ = TABLE_READ["array"]
AHEAD = READ + 2
"""Entries at the head of a tile's list that are kept in registers."""

OTHER = AHEAD
"""Tag of an entry that is none of these."""

NEXT = data.StructLayout({"table": TABLE_BITS, "begin": POSITION_BITS, "block": POSITION_BITS, "moves": 1})
"""Where the list of a tile begins: at ``begin`` of a table, or if it ``moves`` as many behind ``block`` as there are
columns.
"""

# All of the head are read within the cycles in which a table stands still before its MATMUL; entry 0 READ + 1 cycles
# before the first ``fire``, and at the earliest in the cycle behind the first of the tile before.
assert AHEAD + READ <= DECODE_LATENCY
assert READ >= 2 and READ + 2 <= ACCUMULATOR_LATENCY


class FilterList(wiring.Component):
    """``entry`` is the filter whose address is registered at the end of this cycle.

    That is, of a tile's list, the entry behind the one whose address stands in the address register, or entry 0 when
    the next tile's start is taken (``starts``). A position goes to the table's memory READ cycles before its entry is
    there, and nobody can tell so early whether the one before it will be used. So as long as a tile has not begun
    (``first``), its first AHEAD entries are read in turn, again and again, into registers; the table may still
    change. Behind the first ``fire`` an entry is used in every cycle: while AHEAD or more are left, position i +
    AHEAD - 1 is read when entry i fires (``own``). Then the next tile's turn begins.

    ``next``: of the tile with the next first ``fire``, in that cycle too. In that cycle ``begin`` is the tile's first
    position. (Two tiles' firsts may be less than AHEAD cycles apart only with the same list; what is kept holds then.)
    """

    def __init__(self, columns: int) -> None:
        # Shorter tiles that follow each other at once are of the same block.
        assert columns >= ACCUMULATOR_LATENCY
        self._columns = columns
        super().__init__(
            {
                "fire": In(1),
                "first": In(1),
                "own": In(1),
                "table": In(TABLE_BITS),
                "begin": In(POSITION_BITS),
                "next": In(NEXT),
                "start": Out(POSITION_BITS),
                "entry": Out(POSITION_BITS),
                "read": Out(table_read()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arriving = self.read.entry[:POSITION_BITS]
        turn, begins = Signal(range(AHEAD)), Signal()
        # The one that was asked for, cycle by cycle; in the end a bit for each.
        tags = [Signal(range(AHEAD + 1), name=f"tag_{cycle + 1}", init=OTHER) for cycle in range(READ - 1)]
        arrives = Signal(AHEAD)
        # Cycles behind a tile's first ``fire``, one bit each.
        behind = Signal(AHEAD - 2)
        position = Signal(POSITION_BITS, reset_less=True)
        kept = [Signal(POSITION_BITS, name=f"kept_{n}", reset_less=True) for n in range(AHEAD)]
        for register, mine in zip(kept, arrives, strict=True):
            with m.If(mine):
                m.d.sync += register.eq(arriving)
        # Two sums, as it is known late which of them it is. ``begin`` is a choice: as the second operand it needs no
        # table of its own in front of the carry.
        moved = Array([self._columns + number for number in range(AHEAD)])[turn]
        following = Mux(self.next.moves, self.next.block + moved, turn + self.next.begin)
        m.d.comb += [
            begins.eq(self.fire & self.first),
            self.read.table.eq(Mux(self.own, self.table, self.next.table)),
            self.read.position.eq(Mux(self.own, position, following)),
        ]
        m.d.sync += [tags[0].eq(Mux(self.own, OTHER, turn)), behind.eq(Cat(begins, behind))]
        m.d.sync += [later.eq(tag) for tag, later in pairwise(tags)]
        m.d.sync += arrives.eq(Cat(tags[-1] == number for number in range(AHEAD)))
        with m.If(self.own | begins):
            m.d.sync += turn.eq(0)
        with m.Else():
            m.d.sync += turn.eq(Mux(turn == AHEAD - 1, 0, turn + 1))
        with m.If(begins):
            m.d.sync += position.eq(self.begin + AHEAD)
        with m.Elif(self.fire):
            m.d.sync += position.eq(position + 1)
        # Which one it is, is worked out beside what is kept, and not in front of it.
        fresh, chosen = Signal(init=1), Signal(POSITION_BITS)
        with m.If(self.first):
            m.d.comb += [fresh.eq(arrives[1]), chosen.eq(kept[1])]
        for number in range(2, AHEAD):
            with m.Elif(behind[number - 2]):
                m.d.comb += [fresh.eq(arrives[number]), chosen.eq(kept[number])]
        m.d.comb += [
            self.start.eq(Mux(arrives[0], arriving, kept[0])),
            self.entry.eq(Mux(fresh, arriving, chosen)),
        ]
        return m
