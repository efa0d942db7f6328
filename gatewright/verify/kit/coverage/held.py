"""What held an instruction: the conditions of the contract that were met last, in the cycle in which it went on.

An instruction goes on when the last one of several conditions is met (sections 4 and 5 of the machine's manual). Those
that are met in that very cycle held it, and where they are several, that is worth knowing as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import QUEUED_UNITS, EpilogueKind, Opcode, Unit
from gatewright.contract.timing import (
    CONTROL_LATENCY,
    DECODE_LATENCY,
    END_LATENCY,
    EPILOGUE_OVERLAP,
    EPILOGUE_SETUP,
    array_order_depth,
)
from gatewright.verify.kit.coverage.executed import Executed, Given


class Held(StrEnum):
    """What an instruction waited for."""

    TURN = "its turn"
    PAGE = "its page"
    QUEUE = "a place in the queue"
    HEAD = "decoding, behind the one before"
    UNIT = "its unit"
    LOAD = "LOAD"
    GATHER = "GATHER"
    ARRAY = "ARRAY"
    EPILOGUE = "EPILOGUE"
    INDEX = "INDEX"
    STORE = "STORE"
    OPERAND = "the other operand"
    ORDER = "a place in the order"
    PRELOAD = "its parameters"
    IDLE_LOAD = "LOAD to be idle"
    IDLE_GATHER = "GATHER to be idle"
    IDLE_ARRAY = "ARRAY to be idle"
    IDLE_EPILOGUE = "EPILOGUE to be idle"
    IDLE_INDEX = "INDEX to be idle"
    IDLE_STORE = "STORE to be idle"
    TOGETHER = "two in one cycle"


MEANINGS: dict[Held, str] = {
    Held.TURN: "nothing: the sequencer came to it, it was decoded, all else was there",
    Held.PAGE: "the page of instructions: it is the first behind a NEXT, or of an image",
    Held.QUEUE: "its unit's queue was full at its turn: the sequencer stood still; behind that, one of the others",
    Held.HEAD: "the one before it in the queue was taken only then, and decoding takes its cycles",
    Held.UNIT: "its unit was busy with the one before",
    **{Held[unit.name]: f"a wait of its own for {unit.name}" for unit in QUEUED_UNITS},
    Held.OPERAND: "the operand that is to stand now still streamed from its buffer in the MATMUL before",
    Held.ORDER: "as many MATMULs were under way as complete in order",
    Held.PRELOAD: "the parameters of its first filters were read for longer than its first address took",
    **{
        Held[f"IDLE_{unit.name}"]: f"the machine waits for all units at an end; {unit.name} was last"
        for unit in QUEUED_UNITS
    },
    Held.TOGETHER: "more than one of these, in the same cycle",
}


ONE_AT_A_TIME = (Unit.GATHER, Unit.INDEX, Unit.STORE)
"""Units that are free for the next instruction when one is complete."""


def held(arch: ArchConfig, instructions: Sequence[Executed]) -> Iterator[tuple[Executed, frozenset[Held]]]:
    """Each instruction of a run that was executed, and what held it; not those that SKIPs left out.

    Cycles that break the contract's rules are a ``GatewrightError`` that names the instruction.
    """
    given, products = Given(), _Products(arch)
    for number, (before, one) in enumerate(pairwise(instructions)):
        if one.opcode is None:
            given, products = Given(), _Products(arch)
            continue
        if not one.left_out:
            found = _held(arch, given, products, before, one)
            if not found:
                raise GatewrightError(
                    f"no rule of the contract lets instruction {number} in the order of execution, {one.opcode.name}, "
                    f"go on in cycle {one.run}; run the program with a steady memory to see the first such difference"
                )
            several = {Held.TOGETHER} if len(found) > 1 else set()
            stood = {Held.QUEUE} if _queue_full(arch, given, before, one) else set()
            yield one, frozenset(found | several | stood)
            if one.opcode == Opcode.MATMUL:
                products.add(one)
        given.add(one)


class _Products:
    """The MATMULs so far: the operand that stands, and when those behind have a place in the order."""

    def __init__(self, arch: ArchConfig) -> None:
        self._depth = array_order_depth(arch.rows, arch.columns)
        self._done: list[int] = []
        self._stands: int | None = None

    def add(self, one: Executed) -> None:
        self._done.append(one.done)
        if one.work["cycles"]:
            self._stands = one.fields["stationary"]

    def place(self) -> int | None:
        """The cycle in which there is a place for another one; None if there has been one all along."""
        return self._done[-self._depth] if len(self._done) >= self._depth else None

    def turns(self, one: Executed) -> bool:
        """Whether another operand stands in this one than in the one before with work."""
        return bool(one.work["cycles"]) and self._stands not in (None, one.fields["stationary"])


def _held(arch: ArchConfig, given: Given, products: _Products, before: Executed, one: Executed) -> set[Held]:
    turn = before.next_turn
    at_turn = Held.PAGE if before.opcode in (None, Opcode.NEXT) and not before.work["left_out"] else Held.TURN
    if one.unit == Unit.SEQUENCER:
        return _in_sequencer(given, one, turn, at_turn)
    found = _of_start(given, one, at_turn)
    met = {Held[unit.name] for unit, cycle in given.met(one).items() if cycle == one.run and _may_decide(one, unit)}
    if one.opcode == Opcode.EPILOGUE:
        return met | _of_run(one, found)
    if one.opcode == Opcode.MATMUL and products.place() == one.start:
        found.add(Held.ORDER)
    if not found | met and one.opcode in (Opcode.LOAD, Opcode.MATMUL):
        # When their unit is free for the next one the trace does not say: it is before they are complete.
        found.add(Held.OPERAND if one.opcode == Opcode.MATMUL and products.turns(one) else Held.UNIT)
    return found | met


def _may_decide(one: Executed, unit: Unit) -> bool:
    """A wait for the unit's own instructions is met when the unit is free."""
    return not (unit == one.unit and unit in ONE_AT_A_TIME)


def _queue_full(arch: ArchConfig, given: Given, before: Executed, one: Executed) -> bool:
    """Whether the sequencer stood still at an instruction's turn, until its queue had a place."""
    members = given.of[one.unit]
    full = one.unit != Unit.SEQUENCER and len(members) >= arch.queue_depth
    return full and before.next_turn < one.dispatch == members[-arch.queue_depth].start + 1


def _of_start(given: Given, one: Executed, at_turn: Held) -> set[Held]:
    """What an instruction of a queue was taken behind, but for its waits."""
    members, decoded = given.of[one.unit], 1 + DECODE_LATENCY
    found = {at_turn} if one.start == one.dispatch + decoded else set()
    if one.unit in (Unit.LOAD, Unit.ARRAY) and members and members[-1].start + decoded == one.start:
        found.add(Held.HEAD)
    if one.unit in given.last and _free(given.last[one.unit]) == one.start:
        found.add(Held.UNIT)
    return found


def _free(last: Executed) -> int | None:
    """From which cycle on the unit may take the one behind ``last``; None where the trace does not say."""
    if last.unit in ONE_AT_A_TIME:
        return last.done
    if last.unit == Unit.EPILOGUE:
        raw = last.fields["kind"] == EpilogueKind.REDUCE_RAW and last.work["cycles"]
        return last.done - (0 if raw else EPILOGUE_OVERLAP)
    return None


def _of_run(one: Executed, of_start: set[Held]) -> set[Held]:
    """What an EPILOGUE began its work behind, but for its waits."""
    works, preload = one.work["cycles"] > 0, one.work["preload"]
    if one.run != one.start + (max(preload, EPILOGUE_SETUP) if works else 0):
        return set()
    return {Held.PRELOAD} if works and preload > EPILOGUE_SETUP else of_start


def _in_sequencer(given: Given, one: Executed, turn: int, at_turn: Held) -> set[Held]:
    met = given.met(one)
    decides = max(turn + CONTROL_LATENCY, *met.values(), 0)
    found = {Held[unit.name] for unit, cycle in met.items() if cycle == decides}
    if decides == turn + CONTROL_LATENCY:
        found.add(at_turn)
    skips = one.opcode == Opcode.SKIP and one.work["taken"]
    if not one.ends and not skips:
        return found if one.run == decides else set()
    if one.run != decides + END_LATENCY:
        found = set()
    idle = [unit for unit in QUEUED_UNITS if not (skips and unit == Unit.LOAD)]
    return found | {Held[f"IDLE_{unit.name}"] for unit in idle if given.last_done(unit) == one.run}
