"""What the stepped simulator's epilogue makes of a case, cycle by cycle: what the RTL has to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gatewright.contract.isa import Unit
from gatewright.sim.stepped.epilogue.unit import EpilogueUnit
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared
from tests.hw.epilogue.epilogue_cases import Case


@dataclass
class Outcome:
    """What happened, with cycles: (start, run, done); writes (cycle, address, bytes); mask writes.

    Without: addresses read in the scratchpad, (bank, entry) read of the accumulators.
    """

    times: list[tuple[int, int, int]] = field(default_factory=list)
    writes: list[tuple[int, int, bytes]] = field(default_factory=list)
    masks: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    entries: list[tuple[int, int]] = field(default_factory=list)


def run_twin(case: Case, limit: int = 400_000) -> Outcome:
    """The stepped simulator's epilogue on a case; sets ``case.pushes``."""
    shared, outcome = case.shared, Outcome()
    unit, queue = EpilogueUnit(shared), shared.queues[Unit.EPILOGUE]
    _record(shared, outcome)
    waiting = list(zip(case.instructions, case.gaps, strict=True))
    ready = 0
    while case.instructions[-1].done < 0:
        now = shared.clock.cycle
        assert now < limit, "the instructions do not end"
        unit.step()
        if waiting and now >= ready + waiting[0][1] and not queue.full:
            queue.push(waiting.pop(0)[0])
            case.pushes.append(now)
            ready = now + 1
        for other in case.completions.get(now, []):
            shared.clock.later(shared.completions._add, shared.completions._done, other)
        shared.clock.tick()
    outcome.times = [(i.start, i.run, i.done) for i in case.instructions]
    return outcome


def _record(shared: Shared, outcome: Outcome) -> None:
    scratchpad, masks, clock = shared.scratchpad, shared.masks, shared.clock
    read_b, write_b, write_mask = scratchpad.read_b, scratchpad.write_b, masks.write
    read_entry = shared.accumulators.read

    def reading(address: int, count: int, user: Instruction) -> Any:
        outcome.reads.append(address)
        return read_b(address, count, user)

    def writing(address: int, values: Any, user: Instruction) -> None:
        outcome.writes.append((clock.cycle, address, values.tobytes()))
        write_b(address, values, user)

    def masking(first: int, bits: Any, user: Instruction) -> None:
        outcome.masks.append((clock.cycle, first, tuple(int(b) for b in bits)))
        write_mask(first, bits, user)

    def reading_entry(bank: int, entry: int, user: Instruction) -> Any:
        outcome.entries.append((bank, entry))
        return read_entry(bank, entry, user)

    scratchpad.read_b, scratchpad.write_b, masks.write = reading, writing, masking  # type: ignore[method-assign]
    shared.accumulators.read = reading_entry  # type: ignore[method-assign]
