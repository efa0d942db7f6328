"""A run's instructions, one by one: what each was, how much work it had, and its four cycles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import COUNT_BITS, FORMATS, OPERAND_COLUMN, WAITS, Opcode, Space, Unit
from gatewright.contract.timing import CONTROL_LATENCY, FETCH_LATENCY, LEFT_OUT_LATENCY
from gatewright.sim.fast import sequencer
from gatewright.sim.fast.run import Run
from gatewright.sim.fast.work import FIELDS
from gatewright.verify.expectations import Expectation

Tables = tuple[npt.NDArray[np.uint16], ...]
"""What each table lists."""

_MODULUS = 1 << COUNT_BITS


@dataclass
class Executed:
    """An instruction that had its turn; ``opcode`` None is the LOAD of page 0, with which an image begins."""

    opcode: Opcode | None
    unit: Unit
    row: npt.NDArray[np.int64]
    """Decoded: see ``contract.isa``."""
    work: dict[str, int]
    """By the names of ``sim.fast.work.WORK_DTYPE``."""
    tables: Tables
    """As the instruction finds them."""
    dispatch: int
    start: int
    run: int
    done: int

    @cached_property
    def fields(self) -> dict[str, int]:
        """Its operands by name."""
        names = [field.name for field in FORMATS[self.opcode].fields] if self.opcode else []
        return {name: int(value) for name, value in zip(names, self.row[OPERAND_COLUMN:], strict=False)}

    @property
    def left_out(self) -> bool:
        """Whether a SKIP left it out."""
        return bool(self.work["left_out"])

    @property
    def ends(self) -> bool:
        """Whether the image ends with it."""
        return self.opcode == Opcode.END or (self.opcode == Opcode.EXIT and bool(self.work["taken"]))

    @property
    def next_turn(self) -> int:
        """The earliest cycle in which the instruction behind it may have its turn."""
        if self.opcode is None:
            return self.done + FETCH_LATENCY
        return self.dispatch + (FETCH_LATENCY if self.opcode == Opcode.NEXT and not self.left_out else 1)

    def waits(self) -> Iterator[tuple[Unit, int]]:
        """(unit, count) of each of its waits."""
        for wait in range(WAITS):
            unit = Unit(int(self.row[1 + 2 * wait]))
            if unit != Unit.NONE:
                yield unit, int(self.row[2 + 2 * wait])


class Given:
    """What the units have been given of an image so far, in order."""

    def __init__(self) -> None:
        self.of: dict[Unit, list[Executed]] = {unit: [] for unit in Unit}
        self.last: dict[Unit, Executed] = {}
        """The latest one that no SKIP left out."""

    def add(self, one: Executed) -> None:
        """Give ``one`` to its unit."""
        self.of[one.unit].append(one)
        if not one.left_out:
            self.last[one.unit] = one

    def last_done(self, unit: Unit) -> int:
        """From which cycle on a unit is idle."""
        return self.last[unit].done if unit in self.last else 0

    def met(self, one: Executed) -> dict[Unit, int]:
        """When the instruction's waits are met, by unit. Counts wrap around: the latest that it can mean is meant."""
        found: dict[Unit, int] = {}
        for unit, count in one.waits():
            members = self.of[unit]
            position = len(members) - (len(members) - count) % _MODULUS
            if position > 0:
                found[unit] = max(found.get(unit, 0), members[position - 1].done)
        return found


def executed(expectation: Expectation, seen: npt.NDArray[np.int64] | None = None) -> list[Executed]:
    """All instructions of a run in their order, each in the simulator's cycles, or in those in which the RTL had it.

    ``seen`` [events, 3] is what the bench has seen: unit, kind of event, cycle (``lockstep.Verified.seen``).
    """
    run, no_table = Run(expectation.program, expectation.image, expectation.images), np.zeros(0, np.uint16)
    rows: list[tuple[npt.NDArray[np.int64], dict[str, int], Tables]] = []
    tables: Tables = (no_table,) * expectation.program.arch.tables

    def note() -> None:
        row = run.executed[run.count]
        rows.append((row.copy(), dict(zip(FIELDS, map(int, run.work[run.count]), strict=True)), tables))

    note()
    finished = False
    while not finished:
        finished = run.advance(run.count + 2)
        note()
        row, work, _ = rows[-1]
        if (number := _written(row, work)) is not None:
            entries = run.state.tables[number, : run.state.counts[number]].copy()
            tables = (*tables[:number], entries, *tables[number + 1 :])
    records, _ = run.schedule()
    found = []
    for (row, work, listed), record in zip(rows, records, strict=True):
        opcode = None if row[0] == sequencer.BOOT else Opcode(int(row[0]))
        times = (int(record[name]) for name in ("dispatch", "start", "run", "done"))
        found.append(Executed(opcode, Unit(int(record["unit"])), row, work, listed, *times))
    if seen is not None:
        _set_cycles(found, seen)
    return found


def _written(row: npt.NDArray[np.int64], work: dict[str, int]) -> int | None:
    """The table that an instruction has written."""
    if work["left_out"] or row[0] not in (Opcode.INDEX, Opcode.LOAD):
        return None
    fields = {field.name: int(row[OPERAND_COLUMN + n]) for n, field in enumerate(FORMATS[Opcode(int(row[0]))].fields)}
    if row[0] == Opcode.INDEX:
        return fields["table"]
    return fields["address"] if fields["space"] == Space.TABLE else None


def _set_cycles(instructions: Sequence[Executed], seen: npt.NDArray[np.int64]) -> None:
    """Put the cycles of the RTL's events in place of the simulator's.

    What a SKIP leaves out has no events: its completion follows from its turn (section 4 of the machine's manual).
    """
    cycles = {
        (unit, kind): iter(seen[(seen[:, 0] == unit) & (seen[:, 1] == kind), 2].tolist())
        for unit in Unit
        for kind in range(4)
    }
    given = Given()
    for before, one in pairwise(instructions):
        turn = before.next_turn
        if one.opcode is None:
            given = Given()
            one.dispatch = one.start = one.run = before.done
            continue
        if one.left_out:
            met, cycle = given.met(one), turn
            if one.unit == Unit.LOAD or Unit.LOAD in met:
                last = given.last_done(Unit.LOAD) if one.unit == Unit.LOAD else 0
                cycle = max(turn + CONTROL_LATENCY, last, *met.values())
            one.dispatch = one.start = one.run = cycle
            one.done = cycle + LEFT_OUT_LATENCY
        elif one.unit == Unit.SEQUENCER:
            one.dispatch = one.start = one.run = next(cycles[one.unit, 0])
            one.done = one.run + 1
        else:
            one.dispatch, one.start, one.run = (next(cycles[one.unit, kind]) for kind in range(3))
            one.done = next(cycles[one.unit, 3]) + 1
        given.add(one)
