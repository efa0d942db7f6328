"""The order in which bursts get the DRAM's data channel, if reads and writes share it."""

from __future__ import annotations

from bisect import insort

from gatewright.contract.arch import DramConfig
from gatewright.sim.stepped.control.queue import Clock

READ, WRITE = range(2)
"""Kinds of bursts; the smaller one first where both addresses leave in one cycle."""


class DataChannel:
    """A list of the bursts whose data are to come, in the order of their addresses' cycles.

    Only the first of the list moves data, and only once ``burst_gap`` cycles have passed since the burst before it.
    Without ``dram.shared`` there is no list: reads and writes do not see each other.
    """

    def __init__(self, clock: Clock, dram: DramConfig) -> None:
        self._clock = clock
        self._shared = dram.shared
        self._gap = dram.burst_gap
        self._bursts: list[tuple[int, int]] = []
        self._free = 0

    def enter(self, kind: int) -> None:
        """The address of a burst leaves in this cycle."""
        if self._shared:
            self._clock.later(insort, self._bursts, (self._clock.cycle, kind))

    def turn(self, kind: int) -> bool:
        """Whether the next burst of a kind may begin in this cycle, as far as the channel is concerned."""
        if not self._shared:
            return True
        return bool(self._bursts) and self._bursts[0][1] == kind and self._free <= self._clock.cycle

    def leave(self) -> None:
        """The last beat of the burst under way is moved in this cycle."""
        if self._shared:
            self._clock.later(self._remove_first)

    def _remove_first(self) -> None:
        del self._bursts[0]
        self._free = self._clock.cycle + 1 + self._gap
