"""The epilogue's transposer: bytes come in as one filter of some pixels, and leave as one pixel's filters."""

from __future__ import annotations

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import TRANSPOSED_FILTERS
from gatewright.hw.signatures import lanes

LATENCY = 2
_NEAR = 4
"""Columns among which the first register chooses."""


class Transposer(wiring.Component):
    """TRANSPOSED_FILTERS rows of ``columns`` bytes.

    ``write`` sets row ``row``; ``result`` is a column, LATENCY cycles after ``column``. A write in the column's cycle
    is not seen.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        super().__init__(
            {
                "write": In(1),
                "row": In(range(TRANSPOSED_FILTERS)),
                "data": In(lanes(columns)),
                "column": In(range(columns)),
                "result": Out(lanes(TRANSPOSED_FILTERS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        far = Signal(max(1, ceil_log2(self._columns) - ceil_log2(_NEAR)), reset_less=True)
        m.d.sync += far.eq(self.column[ceil_log2(_NEAR) :])
        for number in range(TRANSPOSED_FILTERS):
            row = Signal(lanes(self._columns), name=f"row_{number}", reset_less=True)
            with m.If(self.write & (self.row == number)):
                m.d.sync += row.eq(self.data)
            chosen = []
            for begin in range(0, self._columns, _NEAR):
                near = Signal(8, name=f"row_{number}_near_{begin}", reset_less=True)
                choices = Array(row[min(begin + i, self._columns - 1)] for i in range(_NEAR))
                m.d.sync += near.eq(choices[self.column[: ceil_log2(_NEAR)]])
                chosen.append(near)
            out = Signal(8, name=f"out_{number}", reset_less=True)
            m.d.sync += out.eq(Array(chosen)[far] if len(chosen) > 1 else Mux(1, chosen[0], 0))
            m.d.comb += self.result[number].eq(out)
        return m
