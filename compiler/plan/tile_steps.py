"""The steps of a pass over maps in DRAM: which tiles go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

FEW_PIXELS = 64
"""Pixels of a step whose filters stay in the weight buffer: as many hide what a step costs."""

Steps = Sequence[tuple[int, int]]
"""Ranges [first, end) of tiles in raster order."""


@dataclass(frozen=True)
class Work:
    """What a layer multiplies in a pass, in ``tiles`` of all, and the bytes of filters that it reads in each step.

    ``behind``: bytes of filters of what is multiplied in the wake of the last step.
    """

    macs: int
    filter_bytes: int
    tiles: int
    behind: int = 0


@dataclass(frozen=True)
class StepModel:
    """About the cycles that a pass takes with given steps.

    Filters that do not stay in their buffer are read in each step. Tiles of the next step come beside one as far as
    there are ``slots``, and what does not come beside is waited for. A step has ``most`` of the ``tiles`` at most. A
    tile has ``pixels`` and takes ``moved`` cycles of the bus, a byte of filters ``rate``.
    """

    tiles: int
    pixels: int
    slots: int
    most: int
    moved: float
    rate: float
    peak: int
    work: tuple[Work, ...]

    def steps(self, active: Sequence[int]) -> Steps:
        """Those of about one size, counted in ``active`` tiles, for which the pass takes the fewest cycles."""
        size = self.size()
        streamed = any(layer.filter_bytes for layer in self.work)
        count = -(-self.tiles // size) if streamed else -(-len(active) // size)
        ends = [active[end - 1] + 1 for _, end in evenly(len(active), max(1, min(count, len(active)))) if end]
        bounds = [0]
        for end in [*ends[:-1], self.tiles]:
            while end - bounds[-1] > self.most:
                bounds.append(bounds[-1] + self.most)
            bounds.append(end)
        return list(pairwise(bounds))

    def size(self) -> int:
        """Tiles of a step, if all are of one size."""
        if not any(layer.filter_bytes for layer in self.work):
            return max(1, min(self.most, max(1, self.slots // 2), -(-FEW_PIXELS // self.pixels)))
        counts = range(-(-self.tiles // self.most), self.tiles + 1)
        return -(-self.tiles // min(counts, key=self._cycles))

    def _cycles(self, count: int) -> float:
        size = -(-self.tiles // count)
        waited = size + max(0, 2 * size - self.slots) * (count - 1)
        filters = [count * layer.filter_bytes * self.rate for layer in self.work]
        held = sum(max(layer.macs / self.peak, load) for layer, load in zip(self.work, filters, strict=True))
        behind = sum(layer.behind for layer in self.work) * self.rate
        last = max(held, sum(filters) + count * behind) / count
        each = max(held, sum(filters) + self.tiles * self.moved) / count
        return each * (count - 1) + max(each, last) + waited * self.moved


def evenly(total: int, count: int) -> list[tuple[int, int]]:
    """``count`` consecutive ranges of about one size."""
    bounds = [total * n // count for n in range(count + 1)]
    return list(pairwise(bounds))
