"""The clock edge, and the registers that units share: instruction queues and completion counts.

Everything that one unit writes and another reads changes only at the clock edge (``Clock.later``),
so that the order in which the machine steps its units within a cycle can never matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from gatewright.contract.isa import COUNT_BITS, Unit
from gatewright.contract.timing import DECODE_LATENCY, LEFT_OUT_LATENCY
from gatewright.sim.stepped.instruction import Instruction

COUNT_MODULUS = 1 << COUNT_BITS


class Clock:
    """The current cycle, and the writes that take effect at its end."""

    def __init__(self) -> None:
        self.cycle = 0
        self._edge: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def later(self, action: Callable[..., Any], *arguments: Any) -> None:
        """Do ``action(*arguments)`` at the clock edge that ends this cycle."""
        self._edge.append((action, arguments))

    def tick(self) -> None:
        """The clock edge: commit the cycle's writes and begin the next cycle."""
        if self._edge:
            edge, self._edge = self._edge, []
            for action, arguments in edge:
                action(*arguments)
        self.cycle += 1


class Queue:
    """The instructions that wait in front of a unit.

    What is pushed or popped in a cycle changes the queue for the next. The unit sees the head once it has been the
    head for DECODE_LATENCY cycles.
    """

    def __init__(self, clock: Clock, depth: int) -> None:
        self._clock = clock
        self._depth = depth
        self._items: deque[Instruction] = deque()
        self._visible = 0

    @property
    def full(self) -> bool:
        return len(self._items) >= self._depth

    @property
    def head(self) -> Instruction | None:
        return self._items[0] if self._items and self._clock.cycle >= self._visible else None

    def push(self, instruction: Instruction) -> None:
        self._clock.later(self._append, instruction)

    def pop(self) -> None:
        self._clock.later(self._remove)

    def _append(self, instruction: Instruction) -> None:
        if not self._items:
            self._new_head()
        self._items.append(instruction)

    def _remove(self) -> None:
        self._items.popleft()
        self._new_head()

    def _new_head(self) -> None:
        """At the clock edge: the next cycle is the first with another head."""
        self._visible = self._clock.cycle + 1 + DECODE_LATENCY


class Completions:
    """The units' completion counts, and how many instructions each unit was given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._done = [0] * len(Unit)
        self._given = [0] * len(Unit)
        self._unseen = [0] * len(Unit)
        """Of those done, the ones that were left out so lately that waits do not see them yet."""

    def give(self, instruction: Instruction) -> None:
        """Note a dispatch."""
        self._clock.later(self._add, self._given, instruction.unit)

    def retire(self, instruction: Instruction) -> None:
        """Count an instruction as complete from the next cycle on."""
        instruction.done = self._clock.cycle + 1
        self._clock.later(self._add, self._done, instruction.unit)

    def leave_out(self, instruction: Instruction) -> None:
        """Count an instruction as dispatched and complete; waits see it LEFT_OUT_LATENCY cycles from now."""
        unit = instruction.unit
        for counts in (self._given, self._done, self._unseen):
            self._clock.later(self._clock.later, self._add, counts, unit)
        self._clock.later(self._see, unit, LEFT_OUT_LATENCY - 1)

    def _see(self, unit: Unit, cycles: int) -> None:
        """At a clock edge: waits see it so many cycles from now."""
        if cycles:
            self._clock.later(self._see, unit, cycles - 1)
        else:
            self._unseen[unit] -= 1

    def begin_again(self) -> None:
        """Nothing was given to any unit, from the next cycle on."""
        for counts in (self._done, self._given):
            self._clock.later(counts.__setitem__, slice(None), [0] * len(Unit))

    @staticmethod
    def _add(counts: list[int], unit: Unit) -> None:
        counts[unit] += 1

    def met(self, instruction: Instruction) -> bool:
        """Whether every wait of an instruction holds now (counts compare modulo 2**16, half the range ahead)."""
        for unit, count in instruction.waits:
            if (self._done[unit] - self._unseen[unit] - count) % COUNT_MODULUS >= COUNT_MODULUS // 2:
                return False
        return True

    @property
    def idle(self) -> bool:
        """Whether every unit has completed everything that it was given."""
        return self._done == self._given

    @property
    def idle_but_load(self) -> bool:
        """The same of all units but LOAD."""
        return all(self._done[unit] == self._given[unit] for unit in Unit if unit != Unit.LOAD)
