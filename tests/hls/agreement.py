"""Random programs on the C simulation of the HLS C++ and on the fast simulator: what both leave, and how both stop."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import ONE_IMAGE
from gatewright.contract.registers import ErrorCode
from gatewright.hw.hls.csim import Job, Left, run_jobs
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.sim.result import MachineResult
from gatewright.verify.kit.generate.illegal import Illegal, spoil
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_images import random_images
from gatewright.verify.kit.generate.random_programs import random_network
from gatewright.verify.kit.generate.random_traffic import random_traffic
from tests.sim.no_columns import program_of_no_columns

BATCH = 50
"""Jobs of one process: their DRAMs lie on disk at the same time."""


def _images(seed: int, arch: ArchConfig) -> Job:
    case = random_images(seed, arch)
    return Job(case.program, case.dram, case.images)


def _no_columns(seed: int, arch: ArchConfig) -> Job:
    program = program_of_no_columns(seed, arch)
    return Job(program, program.image)


def _alone(draw: Callable[[int, ArchConfig], tuple[object, object]], place: int) -> Callable[[int, ArchConfig], Job]:
    def job(seed: int, arch: ArchConfig) -> Job:
        program = draw(seed, arch)[place]
        return Job(program, program.image)  # type: ignore[attr-defined, arg-type]

    return job


KINDS: dict[str, Callable[[int, ArchConfig], Job]] = {
    "network": _alone(random_network, 1),
    "corners": _alone(random_corners, 1),
    "images": _images,
    "traffic": _alone(random_traffic, 0),
    "no columns": _no_columns,
}
"""Programs by class: layers, cuts, tables and gates; exits, SKIPs, empty reductions; several images in one start; LOADs
and STOREs across 4 KiB; maps of no columns."""


def simulated(job: Job) -> MachineResult:
    """What the fast simulator makes of a job."""
    if job.images == ONE_IMAGE:
        return simulate(job.program)
    return simulate_images(job.program, job.dram, job.images)


def difference(left: Left, expected: MachineResult) -> str:
    """What of a run that must not stop is not as the simulator leaves it; empty if nothing is."""
    if left.code != ErrorCode.NONE:
        return f"stopped with {left.code.name} at instruction {left.instruction}"
    for name in ("dram", "scratchpad", "masks"):
        got, wanted = getattr(left, name).ravel(), getattr(expected, name).ravel()
        if not np.array_equal(got, wanted):
            at = int(np.flatnonzero(got != wanted)[0]) if got.shape == wanted.shape else -1
            return f"{name}: {np.count_nonzero(got != wanted)} places differ, the first at {at:#x}"
    for number, (got, wanted) in enumerate(zip(left.tables, expected.tables, strict=True)):
        if not np.array_equal(got, wanted):
            return f"table {number}: {got.tolist()}, expected {wanted.tolist()}"
    return ""


def run_legal(binary: Path, arch: ArchConfig, kind: str, seeds: range) -> tuple[int, str]:
    """(programs that agree, what is different in the first one that does not)."""
    for first in range(seeds.start, seeds.stop, BATCH):
        batch = range(first, min(first + BATCH, seeds.stop))
        jobs = [KINDS[kind](seed, arch) for seed in batch]
        for seed, job, left in zip(batch, jobs, run_jobs(binary, jobs), strict=True):
            wrong = difference(left, simulated(job))
            if wrong:
                return seed - seeds.start, f"seed {seed}: {wrong}"
    return len(seeds), ""


def spoilt(seed: int, arch: ArchConfig, kind: str) -> Illegal:
    """The program of a seed with one instruction that is illegal."""
    job = KINDS[kind](seed, arch)
    return spoil(np.random.default_rng(seed), job.program, simulate(job.program).trace.records["instruction"])


def number_of_stop(one: Illegal) -> int:
    """The instruction at which the simulator stops, by its message."""
    try:
        simulate(one.program)
    except GatewrightError as error:
        found = re.match(r"instruction (\d+) ", str(error))
        assert found is not None, str(error)
        return int(found.group(1))
    raise AssertionError(f"the simulator runs the program in spite of {one.what}")


def run_illegal(binary: Path, arch: ArchConfig, kind: str, seeds: range) -> tuple[int, str]:
    """(programs that stop with the right code at the simulator's instruction, what the first other one does)."""
    for first in range(seeds.start, seeds.stop, BATCH):
        batch = range(first, min(first + BATCH, seeds.stop))
        wrong = [spoilt(seed, arch, kind) for seed in batch]
        for seed, one, left in zip(
            batch, wrong, run_jobs(binary, [Job(w.program, w.program.image) for w in wrong]), strict=True
        ):
            got, expected = (left.code, left.instruction, left.dispatched), (one.code, number_of_stop(one), one.at)
            if got != expected:
                return seed - seeds.start, f"seed {seed}, {one.what}: {got}, expected {expected}"
    return len(seeds), ""
