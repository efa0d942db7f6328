"""The grid of processing elements with the skew in front of it and the deskew behind it."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.hw.delay import delayed
from gatewright.hw.pe import ProcessingElement
from gatewright.hw.signatures import lanes

SUM_LANE_BITS = 32
FIRST_BITS, COUNT_BITS = 6, 3


class Grid(wiring.Component):
    """``rows`` x ``columns`` processing elements: sums move down, activations right, one operand stands still.

    ``stream`` is a vector of the streamed operand (any value in a bubble); ``swap`` comes with the first of a tile and
    makes the shadow registers the active ones. ``bus`` brings the stationary vectors of columns ``first`` to
    ``first + count - 1`` to the shadow registers, column c's in lane c mod ``load_vectors``.

    Everything that enters in cycle t acts at PE(r, c) in t + r + c: row r's data pass r skew registers, then move a
    column a cycle. A column's ``capture`` and ``swap`` come along row 0 and go down the column, a row a cycle. The
    input register is the activation register of column 0. A vector's sums are at ``sums`` in t + rows + columns + 1.
    """

    def __init__(self, rows: int, columns: int, load_vectors: int) -> None:
        self._rows, self._columns, self._load_vectors = rows, columns, load_vectors
        super().__init__(
            {
                "stream": In(lanes(rows)),
                "swap": In(1),
                "bus": In(data.ArrayLayout(lanes(rows), load_vectors)),
                "first": In(FIRST_BITS),
                "count": In(COUNT_BITS),
                "sums": Out(lanes(columns, SUM_LANE_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        elements = [
            [ProcessingElement(row, column, self._rows) for column in range(self._columns)] for row in range(self._rows)
        ]
        flags = self._column_flags(m)
        for row in range(self._rows):
            activation: Any = delayed(m, self.stream[row], row, f"skew_{row}").as_signed()
            buses = self._row_bus(m, row)
            for column, element in enumerate(elements[row]):
                capture, swap = flags[column]
                element.clocked(
                    m,
                    activation=activation,
                    weight=buses[column],
                    capture=capture,
                    swap=swap,
                    above=elements[row - 1][column].total if row else 0,
                )
                activation = element.activation
                flags[column] = (
                    delayed(m, capture, 1, f"capture_{row}_{column}"),
                    delayed(m, swap, 1, f"swap_{row}_{column}"),
                )
        for column, element in enumerate(elements[-1]):
            total = delayed(m, element.total, self._columns - 1 - column, f"deskew_{column}")
            m.d.comb += self.sums[column].eq(total)
        return m

    def _column_flags(self, m: Module) -> list[tuple[Any, Any]]:
        """(capture, swap) of row 0 in each column."""
        flags = []
        first, count, swap = self.first, self.count, self.swap
        for column in range(self._columns):
            capture = Signal(name=f"capture_{column}")
            # The difference wraps to a large number if the loaded columns begin further right.
            m.d.comb += capture.eq((column - first)[:FIRST_BITS] < count)
            flags.append((capture, swap))
            first = delayed(m, first, 1, f"first_{column}")
            count = delayed(m, count, 1, f"count_{column}")
            swap = delayed(m, swap, 1, f"swap_{column}")
        return flags

    def _row_bus(self, m: Module, row: int) -> list[Any]:
        """What a row's element in each column sees of its lane of the bus."""
        lane_values: list[Any] = [
            delayed(m, self.bus[lane][row], row, f"bus_skew_{row}_{lane}") for lane in range(self._load_vectors)
        ]
        seen = []
        for column in range(self._columns):
            seen.append(lane_values[column % self._load_vectors])
            # A lane ends at the last column that it serves.
            for lane in range(self._load_vectors):
                if any(later % self._load_vectors == lane for later in range(column + 1, self._columns)):
                    lane_values[lane] = delayed(m, lane_values[lane], 1, f"bus_{row}_{column}_{lane}")
        return seen
