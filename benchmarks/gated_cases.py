"""What table3 measures: a gated network with given masks, on many images and several DRAMs.

A case is a network, a generator of masks and a mode of densities. Its network is aimed once; every image is compiled
and its values are computed once, and compared with the integer reference; the cycles are taken with each DRAM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.published import PAPER
from benchmarks.synthetic_networks import Aimed, aim_for_ratio
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.contract.arch import BEAT_BYTES, ArchConfig, DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.flow import limit_threads
from gatewright.measure.records import record_run
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images
from gatewright.sim.fast.machine import cycles_by_dram, simulate

MASKS = {"independent": 8.0, "clustered": 224.0}
"""Correlation length of ``noise_images``, in pixels of the image; a cell of every gate's grid is 32 pixels wide."""


@dataclass(frozen=True)
class Mode:
    """How densities are shared out: ``channel_part`` and ``spread`` of ``densities_for_ratio``."""

    channel_part: float = 0.5
    spread: float = 0.0


MODES = {
    "equal": Mode(),
    "spread .2": Mode(spread=0.2),
    "all spatial": Mode(channel_part=0.0),
    "all channel": Mode(channel_part=1.0),
}

RATES = {8: (1, 2), 12: (3, 4), 16: (1, 1)}
"""Bytes a cycle: beats in cycles."""


@dataclass(frozen=True)
class Case:
    """What is measured: ``network`` of ``PAPER``, ``masks`` of ``MASKS``, ``mode`` of ``MODES``."""

    network: str
    masks: str
    mode: str
    images: int
    seed: int
    size: int = 224
    """Edge of an image."""

    def __str__(self) -> str:
        return f"{self.network}, {self.masks} masks, {self.mode}"


@dataclass(frozen=True)
class Measured:
    """What came out of a case: MACs [N] and, for each DRAM, cycles [N] of the gated and of the dense program.

    ``correlation`` is that of decisions for neighbouring tiles, the mean over the gates. ``causes`` are the shares of
    image 0's cycles by what the array did in them, with the architecture's own DRAM.
    """

    case: Case
    dense_macs: int
    macs: npt.NDArray[np.int64]
    dense_cycles: list[int]
    cycles: npt.NDArray[np.int64]
    """[DRAM, N]"""
    correlation: float
    causes: dict[str, float]


@dataclass(frozen=True)
class Refused:
    """A case that the compiler refused, and why."""

    case: Case
    why: str


def drams(base: DramConfig, rates: Sequence[int]) -> list[DramConfig]:
    """DRAMs of the given bytes a cycle: reads and writes apart, then sharing the rate."""
    return [
        replace(base, beats=beats, per_cycles=cycles, shared=shared)
        for shared in (False, True)
        for beats, cycles in (RATES[rate] for rate in rates)
    ]


def measure(case: Case, arch: ArchConfig, memories: Sequence[DramConfig]) -> Measured | Refused:
    """Aim a network, compile and simulate every image; logits that are not the reference's are an AssertionError."""
    limit_threads()
    images = noise_images(case.images, case.size, case.seed, IMAGENET, MASKS[case.masks])
    paper, mode = PAPER[case.network], MODES[case.mode]
    ratio = 1 / paper.theoretical
    spec = NetworkSpec(paper.depth, "dual", round(ratio, 2), 1000, case.size, paper.family)
    aimed = aim_for_ratio(spec, images, ratio, case.seed, mode.channel_part, mode.spread)
    cycles = np.zeros((len(memories), case.images), np.int64)
    try:
        dense = without_gates(aimed.graph)
        program = Compiler(dense, arch).compile({}, aimed.inputs[0])
        expected = run_reference(dense, aimed.inputs[:1]).logits[0]
        dense_cycles = _cycles(f"{case}, dense", program, memories, expected)
        compiler = Compiler(aimed.graph, arch)
        for number in range(case.images):
            program = compiler.compile(aimed.decisions(number), aimed.inputs[number])
            expected = aimed.reference.logits[number]
            cycles[:, number] = _cycles(f"{case}, image {number}", program, memories, expected)
            if number == 0:
                causes = _causes(program)
    except GatewrightError as error:
        return Refused(case, str(error))
    dense_macs, alike = counted_macs(aimed.graph, None), _correlation(aimed)
    return Measured(case, dense_macs, aimed.macs, dense_cycles, cycles, alike, causes)


def _cycles(what: str, program: Program, memories: Sequence[DramConfig], expected: npt.NDArray[np.int32]) -> list[int]:
    logits, cycles = cycles_by_dram(program, memories)
    if not np.array_equal(logits, expected):
        raise AssertionError(f"{what}: the logits differ from the integer reference's")
    return cycles


def _causes(program: Program) -> dict[str, float]:
    """Shares of a run's cycles, by cause, as in the report."""
    record = record_run(program, simulate(program))
    return {cause: slots / (record.cycles * record.peak) for cause, slots in record.folded(record.kinds).items()}


def _correlation(aimed: Aimed) -> float:
    """Of the decisions for a tile and its neighbours to the right and below, the mean over spatial gates that vary."""
    found = []
    for mask in aimed.reference.decisions.values():
        if mask.ndim == 3 and 0 < mask.mean() < 1:
            pairs = [(mask[:, :, :-1], mask[:, :, 1:]), (mask[:, :-1], mask[:, 1:])]
            one, other = (np.concatenate([pair[n].reshape(-1) for pair in pairs]) for n in (0, 1))
            found.append(float(np.corrcoef(one, other)[0, 1]))
    return float(np.mean(found)) if found else 0.0


def rows_of(measured: Measured, arch: ArchConfig, memories: Sequence[DramConfig]) -> list[dict[str, object]]:
    """The rows of a case, one for each DRAM. ``ratio_p5`` and ``ratio_p95`` are over single images."""
    case = measured.case
    theoretical = measured.dense_macs / float(measured.macs.mean())
    promised = measured.dense_macs / measured.macs
    rows = []
    for memory, dense, gated in zip(memories, measured.dense_cycles, measured.cycles, strict=True):
        realised = dense / float(gated.mean())
        low, high = np.percentile(dense / gated / promised, (5, 95))
        found = (theoretical, realised, realised / theoretical, float(low), float(high))
        rows.append(_row(case.network, case.masks, case.mode, case, memory, found, dense, float(gated.mean())))
        rows[-1] |= _rates(measured.dense_macs, dense, float(gated.mean()), arch)
    return rows


def dense_rows(measured: Measured, arch: ArchConfig, memories: Sequence[DramConfig]) -> list[dict[str, object]]:
    """The rows of a case's network without gates, one for each DRAM; its cycles are those of any image."""
    network = PAPER[measured.case.network].title
    rows = []
    for memory, dense in zip(memories, measured.dense_cycles, strict=True):
        case = replace(measured.case, images=1)
        rows.append(_row(network, "none", "dense", case, memory, (1.0,) * 5, dense, float(dense)))
        rows[-1] |= _rates(measured.dense_macs, dense, float(dense), arch)
    return rows


def _row(
    network: str,
    masks: str,
    mode: str,
    case: Case,
    memory: DramConfig,
    found: tuple[float, ...],
    dense: int,
    gated: float,
) -> dict[str, object]:
    names = ("theoretical", "realised", "ratio", "ratio_p5", "ratio_p95")
    return {
        "network": network,
        "masks": masks,
        "mode": mode,
        "dram_bytes_per_cycle": BEAT_BYTES * memory.beats // memory.per_cycles,
        "dram_shared": memory.shared,
        "images": case.images,
        "seed": case.seed,
        "synthetic": True,
        **dict(zip(names, found, strict=True)),
        "cycles_dense": dense,
        "cycles_gated_mean": gated,
    }


def _rates(macs: int, dense: int, gated: float, arch: ArchConfig) -> dict[str, object]:
    return {
        "utilisation_dense": macs / (dense * arch.peak_macs),
        "images_per_second": arch.clock_mhz * 1e6 / gated,
    }
