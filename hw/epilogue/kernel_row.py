"""Where a walk along the source stands in the row of results that it makes, of the kind DEPTHWISE."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal

from gatewright.hw.epilogue.setup import KERNEL_BITS


class KernelRow:
    """Counters over the columns of the source that the kernel passes in a tile's row.

    ``result``: the result's column in the tile. ``due``: the present column completes it. ``ends``: it is the last of
    the row. Of other kinds all is 0 but ``due``, which is 1.
    """

    def __init__(self, m: Module, work: Any) -> None:
        self._work = work
        self.result = Signal(work.first_result.shape(), reset_less=True)
        self._before = Signal(KERNEL_BITS, name="columns_before", reset_less=True)
        self.due, self.ends = Signal(name="due", reset_less=True), Signal(name="row_ends", reset_less=True)

    def begin(self, work: Any) -> list[Any]:
        """Assignments: at the first column of the first row of ``work``."""
        return [
            self.result.eq(work.first_result),
            self._before.eq(work.kernel_last),
            self.due.eq(work.kernel_last == 0),
            self.ends.eq(work.depthwise & (work.first_result == work.last_result)),
        ]

    def advance(self) -> list[Any]:
        """Assignments: on to the next column. What is compared is known before the sums are."""
        work = self._work
        before = Mux(self.due, Mux(self.ends, work.kernel_last, work.skipped), self._before - 1)
        last = Mux(self.ends, work.last_result == 0, self.result == work.before_last)
        return [
            self.result.eq(Mux(self.due, Mux(self.ends, 0, self.result + work.depthwise), self.result)),
            self._before.eq(before),
            self.due.eq(Mux(self.due, Mux(self.ends, work.kernel_last == 0, ~work.skipped), self._before == 1)),
            self.ends.eq(Mux(self.due, work.depthwise & last, self.ends)),
        ]
