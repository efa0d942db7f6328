"""What a point is judged by: each objective's meaning, unit and direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """A figure of a point. ``larger``: whether more of it is better."""

    title: str
    unit: str
    larger: bool
    meaning: str


OBJECTIVES: dict[str, Objective] = {
    "latency": Objective("Latency", "ms", False, "milliseconds an image, mean over images and networks by their share"),
    "latency_worst": Objective("Worst latency", "ms", False, "milliseconds of the slowest image of all networks"),
    "throughput": Objective("Throughput", "images/s", True, "images a second, one after the other"),
    "throughput_per_dsp": Objective("Throughput per DSP", "images/s/DSP", True, "images a second for each DSP48E2"),
    "lut": Objective("LUT", "", False, "look-up tables"),
    "ff": Objective("FF", "", False, "flip-flops"),
    "bram36": Objective("BRAM36", "", False, "block memories of 36 Kbit"),
    "dsp": Objective("DSP48E2", "", False, "multiplier blocks"),
}
"""All there are, by the name that a space's file has for it."""


@dataclass(frozen=True)
class Area:
    """What a machine takes of a chip, and how that is known."""

    lut: float
    ff: float
    bram36: float
    dsp: float
    source: str = "model"
    """``model``, or ``synth``: of a synthesis of this machine."""


def judge(
    cycles: Mapping[str, Sequence[int]], shares: Mapping[str, float], clock_mhz: int, area: Area
) -> dict[str, float]:
    """Every objective of a point: ``cycles`` of each network's images, each network's share of all images."""
    whole = sum(shares.values())
    mean = sum(shares[name] / whole * sum(runs) / len(runs) for name, runs in cycles.items())
    milliseconds = mean / (1000 * clock_mhz)
    return {
        "latency": milliseconds,
        "latency_worst": max(max(runs) for runs in cycles.values()) / (1000 * clock_mhz),
        "throughput": 1000 / milliseconds,
        "throughput_per_dsp": 1000 / milliseconds / area.dsp,
        "lut": area.lut,
        "ff": area.ff,
        "bram36": area.bram36,
        "dsp": area.dsp,
    }


def front(points: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[int]:
    """The positions of the points that no other beats: none is as good in all objectives ``names``, better in one.

    Of points with equal figures the first one counts.
    """
    costs = [tuple(-point[name] if OBJECTIVES[name].larger else point[name] for name in names) for point in points]
    # In this order only earlier points can beat a point.
    order = sorted(range(len(costs)), key=lambda position: (costs[position], position))
    kept: list[int] = []
    for position in order:
        cost = costs[position]
        if not any(all(a <= b for a, b in zip(costs[other], cost, strict=True)) for other in kept):
            kept.append(position)
    return sorted(kept)
