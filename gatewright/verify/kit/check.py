"""Many programs through the RTL in a bench, each compared with the simulator; the first difference is explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.contract.registers import ErrorCode
from gatewright.sim.fast.machine import simulate
from gatewright.verify import design, lockstep, runner
from gatewright.verify.expectations import Expectation, expect
from gatewright.verify.kit.cases import case, illegal
from gatewright.verify.kit.coverage.coverage import Coverage
from gatewright.verify.kit.generate.illegal import SPOILERS, Spoil
from gatewright.verify.kit.shrink import shrink

BATCH = 500
"""Programs in one process of the simulator, whose start takes as long as some fifty of them."""

BEATS = 1 << 18
"""Of DRAM: one program in some hundreds has more than a MiB."""

CAPACITY = runner.Capacity(writes=1 << 14, beats=BEATS)
"""Of the bench's memories, for all programs of the generators: one build serves them."""


@dataclass(frozen=True)
class Agreement:
    """``agreed`` programs of ``count``, in order; ``difference`` is the report of the one behind them, ``number``."""

    agreed: int
    count: int
    number: int | None = None
    difference: str | None = None


def small(arch: ArchConfig) -> ArchConfig:
    """Memories of a size that a simulator's start-up does not notice."""
    return replace(arch, weight_kib=64, scratchpad_kib=64, parameter_entries=1024)


def machine_bench(arch: ArchConfig, verilog: str | None = None, stall: int = 0) -> lockstep.Bench:
    """The machine ``arch``, or ``verilog`` in its place, in a bench with room for any random program.

    ``verilog`` is text with a module ``gatewright`` that has the machine's ports; it comes in the bench of
    ``gatewright verify``, so that the two share what may take long to build. ``stall`` other than 0 is a seed: the
    memory pauses at random, and order and bytes are compared, cycles are not.
    """
    if verilog is not None:
        return lockstep.Bench(verilog, arch, runner.Capacity(beats=BEATS), stall=stall)
    return lockstep.Bench(design.machine_verilog(arch), arch, CAPACITY, stall=stall)


def check(bench: lockstep.Bench, kind: str, seeds: range, coverage: Coverage | None = None) -> Agreement:
    """Run the programs of a kind and of ``seeds``, in lockstep, up to the first one that differs.

    The difference is the monitor's, with what the program needs for it; where only the final state tells, the program
    runs again with every single write compared. Those that agree are added to ``coverage``.
    """
    if coverage is not None:
        coverage.refuse_twice(kind, seeds, bench.stall)
    return _check(bench, seeds, partial(case, kind, arch=bench.arch), coverage, kind)


def check_programs(
    bench: lockstep.Bench, programs: Sequence[Program], coverage: Coverage | None = None, name: str = "yours"
) -> Agreement:
    """``check`` for programs of your own, numbered from 0; each must be for the machine of the bench.

    ``name`` is what they are called in ``coverage``.
    """

    def make(number: int, *, writes: bool = False) -> Expectation:
        return expect(programs[number], writes=writes)

    return _check(bench, range(len(programs)), make, coverage, name)


def _check(
    bench: lockstep.Bench, numbers: range, make: Callable[..., Expectation], coverage: Coverage | None, name: str
) -> Agreement:
    for first in range(numbers.start, numbers.stop, BATCH):
        batch = range(first, min(first + BATCH, numbers.stop))
        expectations = [make(number) for number in batch]
        results = lockstep.verify(_roomy(bench, expectations), expectations, first=first)
        failed = results[-1]
        for expectation, result in zip(expectations, results, strict=False):
            if coverage is not None and result.difference is None:
                coverage.add(expectation, result.seen)
                coverage.note(name, range(result.number, result.number + 1), bench.stall)
        if failed.difference is not None:
            again = partial(make, failed.number, writes=True)
            report = _explain(bench, expectations[failed.number - first], failed, again)
            return Agreement(failed.number - numbers.start, len(numbers), failed.number, report)
    return Agreement(len(numbers), len(numbers))


def _roomy(bench: lockstep.Bench, expectations: Sequence[Expectation]) -> lockstep.Bench:
    """The bench, with as much more room as programs need."""
    need, has = lockstep.capacity_for(expectations), bench.capacity
    room = (max(getattr(need, name), getattr(has, name)) for name in ("instructions", "beats"))
    instructions, beats = room
    writes = max([has.writes, *(e.writes.capacity for e in expectations if e.writes is not None)])
    return replace(bench, capacity=runner.Capacity(instructions, 1 << (writes - 1).bit_length(), beats))


def _explain(
    bench: lockstep.Bench, expectation: Expectation, failed: lockstep.Verified, again: Callable[[], Expectation]
) -> str:
    """The report of a difference, and which instructions it needs."""
    lines = [str(failed.difference)]

    def fails(trial: Program) -> bool:
        try:
            expected = expect(trial, writes=False)
        except GatewrightError:
            return False  # without that instruction the program is not legal
        return lockstep.verify(bench, [expected])[0].difference is not None

    if failed.finding is None:  # the final state alone tells: which write was the first?
        expected = again()
        closer = lockstep.verify(_roomy(bench, [expected]), [expected])[0]
        if closer.finding is not None:
            lines.append(str(closer.difference))
    if expectation.images.count == 1 and fails(expectation.program):
        _, working = shrink(expectation.program, fails)
        lines.append(f"the failure needs the work of instructions {', '.join(map(str, working))} only")
    elif expectation.images.count == 1:
        lines.append("alone the program agrees: it depends on what the programs before it left")
    return "\n".join(lines)


def check_illegal(
    bench: lockstep.Bench, seeds: range, *, in_corners: bool = False, ways: tuple[Spoil, ...] = SPOILERS
) -> Agreement:
    """Programs with one instruction spoilt: RTL and simulator must refuse, the RTL with the right error code."""
    for first in range(seeds.start, seeds.stop, BATCH):
        batch = range(first, min(first + BATCH, seeds.stop))
        wrong = [illegal(seed, bench.arch, in_corners=in_corners, ways=ways) for seed in batch]
        for seed, one, registers in zip(batch, wrong, lockstep.stops(bench, [w.program for w in wrong]), strict=True):
            got = (registers["STATUS"] & 0b111, registers["ERROR_CODE"], registers["ERROR_INSTRUCTION"])
            difference = None
            if got[:2] != (0b100, one.code) or not one.is_at(got[2]):
                known = got[1] in ErrorCode.__members__.values()
                difference = (
                    f"{one.what}: expected {one.code.name} at {one.at}, "
                    f"got {ErrorCode(got[1]).name if known else got[1]} at {got[2]} with STATUS {got[0]:#05b}"
                )
            elif _runs(one.program):
                difference = f"{one.what}: the simulator runs the program"
            if difference is not None:
                return Agreement(seed - seeds.start, len(seeds), seed, difference)
    return Agreement(len(seeds), len(seeds))


def _runs(program: Program) -> bool:
    try:
        simulate(program)
    except GatewrightError:
        return False
    return True
