"""What the Icarus bench does, step by step, and what has to come out: programs, accidents, and programs behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import BEAT_BYTES, PRESETS, ArchConfig
from gatewright.contract.program import Program
from gatewright.contract.registers import ErrorCode
from gatewright.sim.fast.machine import simulate
from gatewright.verify.kit.generate.illegal import spoil
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_programs import random_network
from tests.end_to_end.networks import captured

ARCH = PRESETS["4x4"]
RUN, ABORT, RESET = range(3)
DONE, ERROR = 0b010, 0b100
"""Bits of STATUS below 3."""

BASES = (0, 0x4_0000)
"""Where a program's image may lie in the bench's 1 MiB; what lies between stays unknown."""

LONGEST = 2500
"""Cycles of a random program: Icarus does some hundreds a second."""

NETWORK_SIZE = 8
PATIENCE, STALLED = 20_000, 8
"""Cycles of waiting until a step counts as hanging: so many more than the program's, times the second with stalls."""


@dataclass(frozen=True)
class Step:
    """A program, what is done with it, and what the bench must report.

    ``after``: cycles from the start to an abort or a reset. ``instruction``: whether a number
    of instructions before the error may be right. ``bytes``: DRAM behind it, if that is compared.
    """

    what: str
    kind: int
    program: Program
    base: int
    after: int
    status: int
    code: int
    instruction: Callable[[int], bool] | None
    cycles: int | None
    bytes: npt.NDArray[np.uint8] | None

    def wrong(self, result: dict[str, int], exact: bool) -> list[str]:
        """What of a line of results is not as it must be; cycles count where the memory is the ``exact`` one."""
        expected = {"status": self.status, "code": self.code, "unknown": 0, "violations": 0}
        if self.cycles is not None and exact:
            expected["cycles"] = self.cycles
        if self.bytes is not None:
            expected["wrong"] = 0
        wrong = [f"{name} {result[name]}, not {value}" for name, value in expected.items() if result[name] != value]
        if self.instruction is not None and not self.instruction(result["instruction"]):
            wrong.append(f"instruction {result['instruction']}")
        return wrong


@dataclass(frozen=True)
class Good:
    """A legal program and what the simulator makes of it."""

    name: str
    program: Program
    dram: npt.NDArray[np.uint8]
    cycles: int
    executed: npt.NDArray[np.int64]


def _good(name: str, program: Program) -> Good:
    result = simulate(program)
    return Good(name, program, result.dram, result.cycles, result.trace.records["instruction"])


def _random(make: Callable[[int, ArchConfig], tuple[object, Program]], name: str, seed: int) -> Good:
    """The first program from a seed on that is short enough, and not so short that nothing can be interrupted."""
    while True:
        good = _good(f"{name} {seed}", make(seed, ARCH)[1])
        if 300 < good.cycles < LONGEST:
            return good
        seed += 1


def network() -> Good:
    """A small ResNet with both kinds of gates, captured and compiled for one image."""
    case = captured("dual", NETWORK_SIZE)
    decisions = {name: decided[0] for name, decided in case.reference.decisions.items()}
    return _good("network", Compiler(case.graph, ARCH).compile(decisions, case.inputs[0]))


def steps(seed: int, rounds: int, longest: Good | None) -> Iterator[Step]:
    """Accidents of every kind with good programs behind them, and programs back to back; ``longest`` last."""
    rng = np.random.default_rng(seed)

    def run(good: Good, what: str) -> Step:
        base = int(rng.choice(BASES))
        return Step(f"{good.name} {what}", RUN, good.program, base, 0, DONE, 0, None, good.cycles, good.dram)

    def stopped(good: Good, kind: int) -> Step:
        after = int(rng.integers(1, good.cycles - 100))
        what = f"{good.name}: {'abort' if kind == ABORT else 'reset'} after {after} cycles"
        status = ERROR if kind == ABORT else 0
        return Step(what, kind, good.program, int(rng.choice(BASES)), after, status, ErrorCode.NONE, None, None, None)

    def illegal(good: Good) -> Step:
        spoilt = spoil(rng, good.program, good.executed)
        what = f"{good.name}: {spoilt.what}, {spoilt.code.name}"
        base = int(rng.choice(BASES))
        return Step(what, RUN, spoilt.program, base, 0, ERROR, spoilt.code, spoilt.is_at, None, None)

    for number in range(rounds):
        first = _random(random_network, "random", int(rng.integers(1 << 20)))
        second = _random(random_corners, "corners", int(rng.integers(1 << 20)))
        yield run(first, "from power-on" if number == 0 else "behind another")
        yield run(second, "behind another")
        yield run(first, "behind another")
        yield illegal(second)
        yield run(second, "behind an error")
        yield stopped(first, ABORT)
        yield run(second, "behind an abort")
        yield stopped(second, RESET)
        yield run(first, "behind a reset")
        yield illegal(first)
        yield stopped(second, ABORT)
        yield stopped(first, RESET)
        yield run(second, "behind all of them")
    if longest is not None:
        yield run(longest, "behind another")
        yield stopped(longest, RESET)
        yield run(longest, "behind a reset")


def write_steps(listed: list[Step], folder: Path, stall: bool) -> Path:
    """The file of steps for ``bench.v``, and the images that it names; returns its path."""
    lines = []
    for number, step in enumerate(listed):
        image = folder / f"image{number}.hex"
        expected = folder / f"expected{number}.hex"
        image.write_text(_beats(step.program.image))
        expected.write_text(_beats(step.program.image if step.bytes is None else step.bytes))
        beats = len(step.program.image) // BEAT_BYTES
        limit = (PATIENCE + (step.cycles or LONGEST)) * (STALLED if stall else 1)
        numbers = (
            step.kind,
            step.base,
            beats,
            step.program.code_address,
            step.program.boot_count,
            step.after,
            limit,
        )
        lines.append(" ".join(f"{value:x}" for value in numbers) + f" {image.name} {expected.name}\n")
    path = folder / "steps.txt"
    path.write_text("".join(lines))
    return path


def _beats(data: npt.NDArray[np.uint8]) -> str:
    """Hexadecimal lines for ``$readmemh``, a beat each; the first byte is the lowest, at the right end."""
    assert len(data) % BEAT_BYTES == 0, f"{len(data)} bytes are not whole beats"
    return "".join(bytes(row[::-1]).hex() + "\n" for row in data.reshape(-1, BEAT_BYTES))
