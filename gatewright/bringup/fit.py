"""Which DRAM of the model's kind makes the simulator's counters those of a board: a search over the simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from gatewright.bringup.counters import Expected, Start
from gatewright.contract.arch import BEAT_BYTES, DramConfig

RATES = 64
"""A rate that is searched is a whole number of this part of a beat a cycle."""

FITTED = ("CYCLES", "BUSY_LOAD", "BUSY_STORE")
"""The counters in which a DRAM shows, also in a program whose units never wait for each other."""

LATENCY_STEP = 128
"""Cycles; the search's first step, a power of two like every one that halves to 1."""

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
    """Fit latency and rate; gap, bursts in flight and ``shared`` stay those of ``first``.

    A longer latency and a lower rate look alike in the cycles of a program: a search that moves both gets stuck between
    them. So every rate that is tried has the latency that suits it best.
    """
    tried = 0

    def dram_of(rate: int, latency: int) -> DramConfig:
        part = Fraction(rate, RATES)
        return replace(first, latency=latency, beats=part.numerator, per_cycles=part.denominator)

    def error(dram: DramConfig) -> float:
        nonlocal tried
        tried += 1
        return apart(measured, expected.with_dram(dram))

    @cache
    def of_rate(rate: int) -> tuple[float, int]:
        """The smallest error with a rate, and the latency that has it."""
        return _lowest(lambda latency: error(dram_of(rate, latency)), first.latency, LATENCY_STEP, (2, MOST_LATENCY))

    begin = max(1, round(RATES * first.beats / first.per_cycles))
    coarse = min({*range(RATES // 8, RATES + 1, RATES // 8), begin}, key=of_rate)
    _, rate = _lowest(lambda one: of_rate(one)[0], coarse, RATES // 16, (1, RATES))
    best = dram_of(rate, of_rate(rate)[1])
    starts = expected.with_dram(best)
    off = max(
        abs(other.named()[name] - one.named()[name]) / max(1, one.named()[name])
        for one, other in zip(measured, starts, strict=True)
        for name in FITTED
    )
    return Fit(best, starts, off, tried)


def _lowest(error: Callable[[int], float], begin: int, step: int, bounds: tuple[int, int]) -> tuple[float, int]:
    """The smallest error, and where it is: steps to the better side, halved where neither is better."""
    low, high = bounds
    place = min(high, max(low, begin))
    seen = {place: error(place)}
    while True:
        sides = [min(high, max(low, place + way * step)) for way in (-1, 1)]
        for side in sides:
            if side not in seen:
                seen[side] = error(side)
        better = min(sides, key=seen.__getitem__)
        if seen[better] < seen[place]:
            place = better
        elif step == 1:
            return seen[place], place
        else:
            step //= 2
