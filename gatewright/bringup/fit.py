"""Which DRAM of the model's kind makes the simulator's counters those of a board: a search by halving steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from gatewright.bringup.counters import Expected, Start
from gatewright.contract.arch import BEAT_BYTES, DramConfig

RATES = 64
"""A rate that is searched is a whole number of this part of a beat a cycle."""

FITTED = ("CYCLES", "BUSY_LOAD", "BUSY_STORE")
"""The counters in which a DRAM shows, also in a program whose units never wait for each other."""

MOST_LATENCY = 4096
"""Cycles; what is slower is not a DRAM."""


@dataclass(frozen=True)
class Fit:
    """The best DRAM that was found, the simulator's counters with it, and how far they are off."""

    dram: DramConfig
    starts: list[Start]
    error: float
    """The largest share by which one of the FITTED counters of a start is off."""
    tried: int

    @property
    def bytes_per_cycle(self) -> float:
        return bytes_per_cycle(self.dram)


def bytes_per_cycle(dram: DramConfig) -> float:
    """What a DRAM gives while a burst moves."""
    return BEAT_BYTES * dram.beats / dram.per_cycles


def apart(measured: list[Start], simulated: list[Start]) -> float:
    """The sum of the squares of the FITTED counters' relative differences."""
    total = 0.0
    for one, other in zip(measured, simulated, strict=True):
        for name in FITTED:
            counted = one.named()[name]
            total += ((other.named()[name] - counted) / max(1, counted)) ** 2
    return total


def fit_dram(expected: Expected, measured: list[Start], first: DramConfig) -> Fit:
    """Fit latency and rate, from those of ``first`` on; gap, bursts in flight and ``shared`` stay.

    Each step tries a shorter and a longer latency, a lower and a higher rate, and both together; where none is better
    the step is halved.
    """
    seen: dict[tuple[int, int], float] = {}

    def dram_of(latency: int, rate: int) -> DramConfig:
        part = Fraction(rate, RATES)
        return replace(first, latency=latency, beats=part.numerator, per_cycles=part.denominator)

    def error(point: tuple[int, int]) -> float:
        if point not in seen:
            seen[point] = apart(measured, expected.with_dram(dram_of(*point)))
        return seen[point]

    begin = min(MOST_LATENCY, first.latency), max(1, round(RATES * first.beats / first.per_cycles))
    best = _descend(error, begin)
    dram = first if best == begin else dram_of(*best)
    starts = expected.with_dram(dram)
    off = max(
        abs(other.named()[name] - one.named()[name]) / max(1, one.named()[name])
        for one, other in zip(measured, starts, strict=True)
        for name in FITTED
    )
    return Fit(dram, starts, off, len(seen))


def _descend(error: Callable[[tuple[int, int]], float], begin: tuple[int, int]) -> tuple[int, int]:
    """The point from which no step leads to a smaller error, steps of one included."""
    best, latency_step, rate_step = begin, 128, 16
    while True:
        around = [
            (min(MOST_LATENCY, max(2, best[0] + a * latency_step)), min(RATES, max(1, best[1] + b * rate_step)))
            for a in (-1, 0, 1)
            for b in (-1, 0, 1)
        ]
        found = min(around, key=lambda point: (error(point), point != best))
        if error(found) < error(best):
            best = found
        elif (latency_step, rate_step) == (1, 1):
            return best
        else:
            latency_step, rate_step = max(1, latency_step // 2), max(1, rate_step // 2)
