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
        self._m, self._work = m, work
        self.result = Signal(work.first_result.shape(), reset_less=True)
        self._before = Signal(KERNEL_BITS, name="columns_before", reset_less=True)
        self.due, self.ends = Signal(), Signal()
        m.d.comb += [
            self.due.eq(self._before == 0),
            self.ends.eq(work.depthwise & (self.result == work.last_result)),
        ]

    def begin(self, work: Any) -> list[Any]:
        """Assignments: at the first column of the first row of ``work``."""
        return [self.result.eq(work.first_result), self._before.eq(work.kernel_last)]

    def advance(self) -> list[Any]:
        """Assignments: on to the next column."""
        work = self._work
        following = Mux(self.ends, 0, self.result + work.depthwise)
        return [
            self.result.eq(Mux(self.due, following, self.result)),
            self._before.eq(Mux(self.due, Mux(self.ends, work.kernel_last, work.skipped), self._before - 1)),
        ]
