"""The grid of processing elements with the skew in front of it and the deskew behind it."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arithmetic import ACCUMULATOR_BITS
from gatewright.contract.errors import GatewrightError
from gatewright.hw.array.packed_pair import PackedPair
from gatewright.hw.array.processing_element import Column
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import LANE_COUNT_BITS, lanes

FIRST_BITS, COUNT_BITS = LANE_COUNT_BITS, 3


def packed_pairs(rows: int, columns: int, multipliers: int) -> int:
    """Pairs of columns that share their multipliers: so many that the grid takes ``multipliers``, if it can."""
    excess = max(0, rows * columns - multipliers)
    return min(-(-excess // rows), columns // 2)


def column_strips(rows: int, columns: int, pairs: int) -> list[Column | PackedPair]:
    """The grid's columns from left to right: packed pairs, then the others."""
    if not 0 <= pairs <= columns // 2:
        raise GatewrightError(
            f"grid of {rows} x {columns}: {pairs} pairs of columns that share multipliers; "
            f"give 0 to {columns // 2}, half of its columns at most"
        )
    packed = [PackedPair(rows, 2 * pair) for pair in range(pairs)]
    return [*packed, *(Column(rows, column) for column in range(2 * pairs, columns))]


class Grid(wiring.Component):
    """``rows`` x ``columns`` processing elements: sums move down, activations right, one operand stands still.

    ``stream`` is a vector of the streamed operand (any value in a bubble); ``swap`` comes with the first of a tile and
    makes the shadow registers the active ones. ``bus`` brings the stationary vectors of columns ``first`` to
    ``first + count - 1`` to the shadow registers, column c's in lane c mod ``load_vectors``.

    Everything that enters in cycle t acts at PE(r, c) in t + r + c: row r's data pass r skew registers, then move a
    column a cycle. A column's ``capture`` and ``swap`` come along row 0 and go down the column, a row a cycle. The
    input register is the activation register of column 0. A vector's sums are at ``sums`` in t + rows + columns + 1.

    The first ``pairs`` pairs of columns have a multiplier for both columns.
    The right one of a pair acts with the left one, a cycle early, and its sums wait a cycle more. The first columns'
    sums wait longest for the others, so that is where the split of the pairs' sums fits in.
    """

    def __init__(self, rows: int, columns: int, load_vectors: int, pairs: int) -> None:
        self._rows, self._columns, self._load_vectors = rows, columns, load_vectors
        self._strips = column_strips(rows, columns, pairs)
        # Cycles after column 0 in which a column acts.
        self._acts_at = [strip.columns[0] for strip in self._strips for _ in strip.columns]
        super().__init__(
            {
                "stream": In(lanes(rows)),
                "swap": In(1),
                "bus": In(data.ArrayLayout(lanes(rows), load_vectors)),
                "first": In(FIRST_BITS),
                "count": In(COUNT_BITS),
                "sums": Out(lanes(columns, ACCUMULATOR_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        flags: Any = self._row_0_flags(m)
        for row in range(self._rows):
            flag = iter(flags)
            activation: Any = delayed(m, self.stream[row], row, f"skew_{row}").as_signed()
            buses = self._row_bus(m, row)
            for strip in self._strips:
                captures, swap = [next(flag) for _ in strip.columns], next(flag)
                element = strip.elements[row]
                element.clocked(
                    m,
                    activation=activation,
                    weights=[buses[column] for column in strip.columns],
                    captures=captures,
                    swap=swap,
                    above=strip.above(row),
                )
                activation = element.onward
            flags = delayed(m, flags, 1, f"flags_{row}")
        for strip in self._strips:
            # A pair has its second column's place to its right, so this is at least 0.
            wait = self._columns - 1 - strip.columns[0] - strip.registers_behind
            for column, total in zip(strip.columns, strip.sums(m), strict=True):
                m.d.comb += self.sums[column].eq(delayed(m, total, wait, f"deskew_{column}"))
        return m

    def _row_0_flags(self, m: Module) -> Any:
        """Of row 0, strip by strip, a capture for each column and the swap; a word that goes down the rows."""
        flags: list[Any] = []
        first, count, swap = self.first, self.count, self.swap
        for strip in self._strips:
            for column in strip.columns:
                capture = Signal(name=f"capture_{column}")
                # The difference wraps to a large number if the loaded columns begin further right.
                m.d.comb += capture.eq((column - first)[:FIRST_BITS] < count)
                flags.append(capture)
            flags.append(swap)
            cycles, column = len(strip.columns), strip.columns[0]
            first = delayed(m, first, cycles, f"first_{column}")
            count = delayed(m, count, cycles, f"count_{column}")
            swap = delayed(m, swap, cycles, f"swap_{column}")
        return Cat(flags)

    def _row_bus(self, m: Module, row: int) -> list[Any]:
        """What a row's element in each column sees of its lane of the bus.

        The lanes of a row move along as one word, which a simulator copies at once.
        """
        lanes_, bits = self._load_vectors, len(self.bus[0][row])
        ends = [max(self._acts_at[lane::lanes_], default=0) for lane in range(lanes_)]
        # A lane ends at the last column that it serves: those that go on lie in the low bits.
        order = sorted(range(lanes_), key=lambda lane: -ends[lane])
        word: Any = delayed(m, Cat(self.bus[lane][row] for lane in order), row, f"bus_skew_{row}")
        seen: list[Any] = [None] * self._columns
        for cycle in range(self._columns):
            for column in range(self._columns):
                if self._acts_at[column] == cycle:
                    seen[column] = word.word_select(order.index(column % lanes_), bits)
            if going_on := sum(end > cycle for end in ends):
                word = delayed(m, word[: going_on * bits], 1, f"bus_{row}_{cycle}")
        return seen
