"""What a machine was waiting for: the chain of events that led to an instruction's start.

The trace gives four cycles per instruction and the program its waits. Walking back from an
instruction, each event is explained by the latest thing that allowed it: a wait that was met, the
unit that became free, the dispatch, a full queue, a page of instructions. Every cycle on the way
belongs to the instruction that was at work then. An instruction that a SKIP left out counts as
complete LEFT_OUT_LATENCY cycles behind its turn, which may come behind what LOAD has yet to do for
it; these turns are the sequencer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import COUNT_BITS, WAITS, Opcode, Unit
from gatewright.contract.program import Program
from gatewright.contract.timing import CONTROL_LATENCY, DECODE_LATENCY, END_LATENCY, EPILOGUE_OVERLAP, FETCH_LATENCY
from gatewright.contract.trace import Trace

BOOT = -1
"""The position that stands for the boot LOAD, which has no trace record."""


class Event(IntEnum):
    """The four moments of an instruction."""

    DISPATCH = 0
    START = 1
    RUN = 2
    DONE = 3


@dataclass(frozen=True)
class Segment:
    """Cycles [begin, end) that the instruction at ``position`` of the trace is answerable for.

    ``working`` is false where the sequencer was the limit (dispatch, page changes).
    """

    begin: int
    end: int
    position: int
    working: bool


@dataclass(frozen=True)
class _Step:
    """The event before an event, and who is answerable for the cycles between the two."""

    position: int
    event: Event
    owner: int
    working: bool


class CriticalPath:
    """Walks back through one image's trace, in which what a SKIP left out has records, too (``with_left_out``).

    A trace that breaks the machine's timing rules raises ``ValueError`` with the record's number.
    """

    def __init__(self, program: Program, trace: Trace, work: npt.NDArray[np.void]) -> None:
        records = trace.records
        self._unit = [int(u) for u in records["unit"]]
        self._times = [[int(t) for t in records[name]] for name in ("dispatch", "start", "run", "done")]
        self._opcode = [int(o) for o in program.code[records["instruction"], 0]]
        self._left_out = [bool(left) for left in work["left_out"]]
        self._taken = [bool(taken) for taken in work["taken"]]
        self._depth = program.arch.queue_depth
        self._members: dict[int, list[int]] = {unit: [] for unit in Unit}
        self._rank: list[int] = []
        self._waits: list[list[int]] = []
        self._names_load: list[bool] = []
        for position, row in enumerate(program.code[records["instruction"], 1 : 1 + 2 * WAITS]):
            self._waits.append(self._resolve(row))
            self._names_load.append(Unit.LOAD in row[0::2])
            members = self._members[self._unit[position]]
            self._rank.append(len(members))
            members.append(position)

    def waits(self, position: int) -> list[int]:
        """The trace positions that the instruction at ``position`` waits for."""
        return self._waits[position]

    def segments(self, position: int, event: Event, since: int) -> list[Segment]:
        """Explain the cycles from ``since`` up to an event, latest first, without gaps."""
        found: list[Segment] = []
        cursor = self._times[event][position]
        while cursor > since:
            step = self._before(position, event)
            position, event = step.position, step.event
            time = 0 if position == BOOT else self._times[event][position]
            begin = max(time, since)
            if begin < cursor:
                found.append(Segment(begin, cursor, step.owner, step.working))
            cursor = time
        return found

    def _resolve(self, row: npt.NDArray[np.int64]) -> list[int]:
        """Positions waited for. Counts wrap around, and only instructions seen so far can be meant."""
        found = []
        for unit, count in zip(row[0::2], row[1::2], strict=True):
            members = self._members[int(unit)]
            target = len(members) - (len(members) - int(count)) % (1 << COUNT_BITS)
            if unit != Unit.NONE and target > 0:
                found.append(members[target - 1])
        return found

    def _before(self, position: int, event: Event) -> _Step:
        if event == Event.DONE:
            return _Step(position, Event.RUN, position, not self._left_out[position])
        if self._left_out[position]:
            return self._before_left_out(position)
        if event == Event.START and self._unit[position] == Unit.EPILOGUE:
            return self._before_start(position)
        if event in (Event.START, Event.RUN):  # all other units are taken from the queue when their waits are met
            return self._before_run(position)
        return self._before_dispatch(position)

    def _before_run(self, position: int) -> _Step:
        run = self._times[Event.RUN][position]
        if self._settles(position):
            return self._before_settled(position)
        for waited in self._waits[position]:
            if self._times[Event.DONE][waited] == run:
                return _Step(waited, Event.DONE, position, True)
        if self._unit[position] == Unit.EPILOGUE:  # between start and run it reads its parameters
            return _Step(position, Event.START, position, True)
        return self._before_start(position)

    def _stops(self, position: int) -> bool:
        """Whether the instruction ends the program: END, or an EXIT that is taken."""
        last = position == len(self._opcode) - 1
        return self._opcode[position] == Opcode.END or (self._opcode[position] == Opcode.EXIT and last)

    def _settles(self, position: int) -> bool:
        """Whether the sequencer waits here for units to become idle: at the end, or at a SKIP that is taken."""
        return self._stops(position) or (self._opcode[position] == Opcode.SKIP and self._taken[position])

    def _before_settled(self, position: int) -> _Step:
        """Behind the last completion of any unit (at a SKIP: but LOAD), or behind the instruction's waits or turn."""
        run = self._times[Event.RUN][position]
        skips = self._opcode[position] == Opcode.SKIP
        for earlier in range(position - 1, -1, -1):
            if self._times[Event.DONE][earlier] == run and not (skips and self._unit[earlier] == Unit.LOAD):
                return _Step(earlier, Event.DONE, position, False)
        for waited in self._waits[position]:
            if self._times[Event.DONE][waited] == run - END_LATENCY:
                return _Step(waited, Event.DONE, position, False)
        return self._before_start(position)

    def _before_left_out(self, position: int) -> _Step:
        """Its turn, or if it is a LOAD or waits for one what it waits for, and for a LOAD the LOADs before it."""
        turn = self._times[Event.DISPATCH][position]
        behind = list(self._waits[position]) if self._compares(position) else []
        if self._unit[position] == Unit.LOAD:
            behind += self._members[Unit.LOAD][: self._rank[position]]
        for earlier in behind:
            if self._times[Event.DONE][earlier] == turn:
                return _Step(earlier, Event.DONE, position, True)
        return self._turn(position, turn, "turn")

    def _before_start(self, position: int) -> _Step:
        start = self._times[Event.START][position]
        if self._unit[position] == Unit.SEQUENCER:
            return self._turn(position, start, "start")
        if self._times[Event.DISPATCH][position] + 1 + DECODE_LATENCY == start:
            return _Step(position, Event.DISPATCH, position, False)
        rank = self._rank[position]
        if rank:
            previous = self._members[self._unit[position]][rank - 1]
            if self._times[Event.DONE][previous] == start:
                return _Step(previous, Event.DONE, previous, True)
            if self._times[Event.START][previous] + 1 + DECODE_LATENCY == start:
                return _Step(previous, Event.START, position, False)
            # The last slots of an EPILOGUE are still under way when the next one is taken.
            if self._unit[position] == Unit.EPILOGUE and self._times[Event.DONE][previous] - EPILOGUE_OVERLAP == start:
                return _Step(previous, Event.RUN, previous, True)
            # LOAD addresses its bursts, and the array takes new operands, before they are done.
            if self._times[Event.RUN][previous] < start and self._unit[position] in (Unit.LOAD, Unit.ARRAY):
                return _Step(previous, Event.RUN, previous, True)
        raise ValueError(f"trace record {position}: nothing explains its start at cycle {start}")

    def _before_dispatch(self, position: int) -> _Step:
        dispatch = self._times[Event.DISPATCH][position]
        rank = self._rank[position]
        if rank >= self._depth:
            leaver = self._members[self._unit[position]][rank - self._depth]
            if self._times[Event.START][leaver] + 1 == dispatch:
                return _Step(leaver, Event.START, position, False)
        return self._turn(position, dispatch, "dispatch")

    def _turn(self, position: int, time: int, event: str) -> _Step:
        """The sequencer came to this instruction as soon as it was through with the one before."""
        if not position:
            return _Step(BOOT, Event.DONE, BOOT, True)
        previous = position - 1
        latency = FETCH_LATENCY if self._opcode[previous] == Opcode.NEXT else 1
        latency += CONTROL_LATENCY if self._compares(position) else 0
        latency += END_LATENCY if self._settles(position) else 0
        if self._times[Event.DISPATCH][previous] + latency != time:
            raise ValueError(f"trace record {position}: nothing explains its {event} at cycle {time}")
        if self._unit[previous] == Unit.SEQUENCER:
            return _Step(previous, Event.RUN, previous, False)
        return _Step(previous, Event.DISPATCH, position, False)

    def _compares(self, position: int) -> bool:
        """Whether the sequencer compares this instruction's waits, which takes it CONTROL_LATENCY cycles."""
        if self._left_out[position]:
            return self._unit[position] == Unit.LOAD or self._names_load[position]
        return self._unit[position] == Unit.SEQUENCER
