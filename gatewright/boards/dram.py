"""A board's DRAM as its maker speaks of it, in gigabytes a second and nanoseconds, and as a clock sees it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Annotated

from annotated_types import Ge, Gt

from gatewright.contract.arch import BEAT_BYTES, MOST_DRAM_RATE, DramConfig

Positive = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class BoardDram:
    """What the machine's one port finds behind it. Nobody knows these numbers of a board before it is measured."""

    gigabytes_per_second: Positive
    """10^9 bytes a second, of reads alone or of writes alone; of both together if ``shared``."""
    latency_ns: Positive
    """From a burst's address to its first beat, with the way through the interconnect."""
    burst_gap_ns: Annotated[float, Ge(0)]
    """In which the data channel idles between two bursts."""
    outstanding: Annotated[int, Ge(1)]
    """Read bursts that may be in flight."""
    shared: bool
    """Whether reads and writes share the rate."""

    def at(self, clock_mhz: int) -> DramConfig:
        """The same in cycles of a clock. The port moves a beat a cycle at most, whatever the DRAM can do."""
        cycles_per_ns = Fraction(clock_mhz, 1000)
        bytes_per_cycle = Fraction(str(self.gigabytes_per_second)) / cycles_per_ns
        rate = min(Fraction(1), (bytes_per_cycle / BEAT_BYTES).limit_denominator(MOST_DRAM_RATE))
        return DramConfig(
            latency=max(2, ceil(Fraction(str(self.latency_ns)) * cycles_per_ns)),
            beats=rate.numerator,
            per_cycles=rate.denominator,
            burst_gap=ceil(Fraction(str(self.burst_gap_ns)) * cycles_per_ns),
            outstanding=self.outstanding,
            shared=self.shared,
        )
