"""Where a board's counters leave the simulator's, in words."""

from __future__ import annotations

from dataclasses import dataclass

from gatewright.bringup.counters import CounterFile, Expected, Start
from gatewright.bringup.fit import FITTED, Fit, bytes_per_cycle, fit_dram
from gatewright.contract.arch import ArchConfig, DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.contract.registers import IDENTIFIER

EXPLAINED = 0.01
"""A fit whose counters are closer than this explains them."""

WORK = "COMPLETED_"
"""Counters that no DRAM changes begin with this; so does INSTRUCTIONS."""


@dataclass(frozen=True)
class Comparison:
    """Counters of each start on both sides, and the fit where cycles differ; no fit where the work differs."""

    measured: list[Start]
    simulated: list[Start]
    fit: Fit | None
    arch: ArchConfig

    @property
    def same(self) -> bool:
        return self.measured == self.simulated

    @property
    def same_work(self) -> bool:
        """Whether each unit has completed as many instructions."""
        return all(
            one.completed == other.completed and one.instructions == other.instructions
            for one, other in zip(self.measured, self.simulated, strict=True)
        )


def compare(program: Program, file: CounterFile, expected: Expected) -> Comparison:
    """Compare, and fit ``program``'s DRAM if only cycles differ. Counters of another machine are an error."""
    _check_machine(program.arch, file.machine)
    simulated = expected.with_dram(program.arch.dram)
    found = Comparison(file.starts, simulated, None, program.arch)
    if found.same or not found.same_work:
        return found
    return Comparison(file.starts, simulated, fit_dram(expected, file.starts, program.arch.dram), program.arch)


def _check_machine(arch: ArchConfig, machine: dict[str, int]) -> None:
    if machine.get("ID", IDENTIFIER) != IDENTIFIER:
        raise GatewrightError(
            f"the counters' ID is {machine['ID']:#x}, not that of a machine of ours ({IDENTIFIER:#x})"
        )
    for name in ("ROWS", "COLUMNS", "SCRATCHPAD_KIB", "PATCH_KIB", "WEIGHT_KIB", "ACCUMULATOR_DEPTH", "TABLE_ENTRIES"):
        own = getattr(arch, name.lower())
        if machine.get(name, own) != own:
            raise GatewrightError(
                f"the counters are of a machine with {name} = {machine[name]}, the program is for one with {own}"
            )


def report(found: Comparison) -> str:
    """The table of every counter, start by start, and what follows from it."""
    lines = []
    for number, (one, other) in enumerate(zip(found.measured, found.simulated, strict=True)):
        fitted = None if found.fit is None else found.fit.starts[number].named()
        head = f"{f'start {number}':<20}{'board':>14}{'simulator':>14}{'difference':>12}"
        lines.append(head + (f"{'fitted':>14}" if fitted else ""))
        for name, counted in one.named().items():
            wanted = other.named()[name]
            share = f"{(counted - wanted) / wanted:+.2%}" if wanted and counted != wanted else ""
            lines.append(
                f"{name:<20}{counted:>14,}{wanted:>14,}{share:>12}" + (f"{fitted[name]:>14,}" if fitted else "")
            )
    return "\n".join([*lines, "", *_verdict(found)])


def _verdict(found: Comparison) -> list[str]:
    if found.same:
        return ["the board's counters are the simulator's"]
    if not found.same_work:
        return [
            "units completed another number of instructions: this is no matter of time. The program or its inputs are "
            "others than those that ran, or the board computes something else; run the self-test",
        ]
    assert found.fit is not None
    clock, dram = found.arch.clock_mhz, found.fit.dram
    slower = sum(one.cycles for one in found.measured) > sum(one.cycles for one in found.simulated)
    lines = [
        f"the same work in {'more' if slower else 'fewer'} cycles, or cycles of other units",
        f"the model's DRAM  {describe(found.arch.dram, clock)}",
        f"fitted to these   {describe(dram, clock)}; largest difference left in "
        f"{', '.join(FITTED)}: {found.fit.error:.2%} ({found.fit.tried} tried)",
    ]
    if found.fit.error <= EXPLAINED:
        lines.append(f"a DRAM {'slower' if slower else 'faster'} than the model's explains it")
    else:
        lines.append("no latency and rate of the model explain it: see which counters are left apart above")
    return lines


def describe(dram: DramConfig, clock_mhz: int) -> str:
    """A DRAM in cycles and in nanoseconds and GB/s."""
    rate = bytes_per_cycle(dram)
    return (
        f"latency {dram.latency} cycles ({dram.latency * 1000 / clock_mhz:.0f} ns), {rate:.2f} bytes a cycle "
        f"({rate * clock_mhz / 1000:.2f} GB/s)"
    )
