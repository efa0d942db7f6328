"""EPILOGUE: accumulator entries become bytes of a map, sums, mask bits and tile averages; windows become pixels."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.contract.isa import Unit
from gatewright.contract.timing import EPILOGUE_SETUP
from gatewright.sim.stepped.epilogue.pipeline import EpiloguePipeline
from gatewright.sim.stepped.epilogue.slots import Kind, Slot
from gatewright.sim.stepped.epilogue.walk import EpilogueWalk
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared


class EpilogueUnit:
    """A slot machine in front of the pipeline: preload, wait, work, drain.

    s: the instruction is taken without a look at its waits, its sizes are registered from the tables of that
    cycle, and the first parameter's address leaves. r: the first cycle behind the preload, and EPILOGUE_SETUP cycles
    from s on, in which the waits are met; the first slot enters in it. The next instruction is taken EPILOGUE_OVERLAP
    cycles before the last slot has left the pipeline, behind a raw total when it has. An instruction without work sends
    a slot that does nothing in at stage 1 in cycle r.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._pipeline = EpiloguePipeline(shared)
        self._active: Instruction | None = None
        self._walk: EpilogueWalk | None = None
        self._preload: Iterator[Slot] = iter(())
        self._work: Iterator[Slot | None] = iter(())
        self._draining = False

    def step(self) -> None:
        """One clock cycle."""
        if self._active is None and not self._take() and self._pipeline.empty:
            return
        entering, early = (None, None) if self._active is None else self._next(self._active)
        self._pipeline.step(self._active, entering, early)
        if self._pipeline.frees():
            self._active = None
        complete = self._pipeline.leaves()
        if complete is not None:
            self._shared.completions.retire(complete)

    def _take(self) -> bool:
        queue = self._shared.queues[Unit.EPILOGUE]
        head = queue.head
        if head is None:
            return False
        queue.pop()
        head.start = self._shared.clock.cycle
        self._active, self._walk = head, EpilogueWalk(self._shared, head)
        self._preload, self._draining = self._walk.preload(), False
        return True

    def _next(self, epilogue: Instruction) -> tuple[Slot | None, Slot | None]:
        """The slot for stage 0, and the one for stage 1, in this cycle."""
        assert self._walk is not None
        if epilogue.run < 0:
            parameter = next(self._preload, None)
            if parameter is not None:
                return parameter, None
            now = self._shared.clock.cycle
            setting_up = not self._walk.empty and now < epilogue.start + EPILOGUE_SETUP
            if setting_up or not self._shared.completions.met(epilogue):
                return None, None
            epilogue.run = now
            if self._walk.empty:
                self._draining = True
                return None, Slot(Kind.PARAMETER, last=True, lane=-1)
            self._work = self._walk.work()
            self._pipeline.residual.begin(self._walk.reads())
        if self._draining:
            return None, None
        slot = next(self._work)
        self._draining = slot is not None and slot.last
        return slot, None
