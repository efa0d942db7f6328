"""Vector clocks: what is certainly complete when a unit begins an instruction, and so which waits are not needed.

A clock has, per unit, a count of completed instructions.
"""

from __future__ import annotations

from gatewright.compiler.emit.users import UNITS
from gatewright.contract.isa import COUNT_BITS, Unit

Clock = list[int]

Wait = tuple[int, int]
"""A unit, and its count."""

MOST_BEHIND = 1 << (COUNT_BITS - 2)
"""How far a wait's count lies at most behind what its unit was given when it is emitted: half of what the contract
allows. That leaves as much for what the unit is given until the wait is looked at."""

_OVERLAPPING = (Unit.LOAD, Unit.ARRAY)
"""Units that may begin an instruction before the one before it is complete."""


class Clocks:
    """The clocks of a program's instructions so far."""

    def __init__(self) -> None:
        self.counts: Clock = [0] * UNITS
        """Instructions of each unit."""
        self.dispatched: Clock = [0] * UNITS
        """What is complete before the next instruction is dispatched."""
        self._starts: list[Clock] = [[0] * UNITS for _ in range(UNITS)]
        """Per unit, what was complete when it began its last instruction, and at the last dispatch."""
        self._ends: list[list[Clock]] = [[[0] * UNITS] for _ in range(UNITS)]
        """Per unit and completion, what was complete then."""

    def base(self, unit: Unit) -> Clock:
        """What is certainly complete when the unit begins its next instruction."""
        base = self._starts[unit]
        if unit not in _OVERLAPPING:
            base = _latest(base, self._ends[unit][-1])
        return base

    def waits(self, needed: Clock, base: Clock) -> list[Wait]:
        """What must be waited for where ``base`` is complete: none that another one implies.

        Counts are compared modulo 2^16, so what lies far back is waited for by a later count: units complete in order.
        """
        latest = [max(count, self.counts[unit] - MOST_BEHIND) for unit, count in enumerate(needed)]
        wanted = [(unit, latest[unit]) for unit, count in enumerate(needed) if count > base[unit]]
        return [
            (unit, count)
            for unit, count in wanted
            if not any(other != unit and self._ends[other][n][unit] >= count for other, n in wanted)
        ]

    def complete(self, unit: Unit, waits: list[Wait], base: Clock) -> None:
        """Count an instruction of a unit that begins with ``base`` complete and behind its waits."""
        start = base
        for other, count in waits:
            start = _latest(start, self._ends[other][count])
        self._starts[unit] = start
        self.counts[unit] += 1
        end = _latest(start, self._ends[unit][-1])
        end[unit] = self.counts[unit]
        self._ends[unit].append(end)

    def dispatch_behind(self, waits: list[Wait]) -> None:
        """Note what is complete before anything is dispatched behind an instruction of the sequencer with waits."""
        for unit, count in waits:
            self.dispatched = _latest(self.dispatched, self._ends[unit][count])
        self._starts = [_latest(clock, self.dispatched) for clock in self._starts]


def _latest(one: Clock, other: Clock) -> Clock:
    return [max(a, b) for a, b in zip(one, other, strict=True)]
