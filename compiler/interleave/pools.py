"""Room in the machine's memories over time: regions are placed where the ones before them are done with."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatewright.compiler.interleave.recording import Region


@dataclass
class Taken:
    """Addresses [low, high): since when nobody needs them any more, or None."""

    low: int
    high: int
    free: int | None = None


@dataclass
class Pool:
    """One memory. A program holds at most ``share`` of its ``size`` addresses at a time, so that the others go on."""

    size: int
    granule: int
    share: int
    _taken: list[Taken] = field(default_factory=list)
    _held: dict[int, int] = field(default_factory=dict)
    _of: dict[tuple[int, int], Taken] = field(default_factory=dict)

    def _words(self, region: Region) -> int:
        return -(-(region.high - region.low) // self.granule) * self.granule

    def earliest(self, region: Region, owner: int, now: int) -> tuple[int, int] | None:
        """When there is room for a region of a program, from ``now`` on, and where; None as long as nobody knows.

        Programs take their regions from the two ends, in turn, so that what is left in the middle is in one piece.
        """
        words = self._words(region)
        held = self._held.get(owner, 0)
        if held and held + words > self.share:
            return None
        top = owner % 2 == 1
        bases = {self.size - words, *(one.low - words for one in self._taken)}
        if not top:
            bases = {0, *(one.high for one in self._taken)}
        best: tuple[int, int, int] | None = None
        for base in bases:
            moment = self._free(base, base + words)
            if moment is not None:
                found = max(moment, now), -base if top else base, base
                best = found if best is None else min(best, found)
        return None if best is None else (best[0], best[2])

    def _free(self, low: int, high: int) -> int | None:
        """Since when nobody needs any of these addresses; None if somebody does, or if they are not there."""
        if low < 0 or high > self.size:
            return None
        moment = 0
        for one in self._taken:
            if one.low < high and low < one.high:
                if one.free is None:
                    return None
                moment = max(moment, one.free)
        return moment

    def take(self, region: Region, owner: int, base: int) -> None:
        """Give a program a region at a base that ``earliest`` has named."""
        high = base + self._words(region)
        left = []
        for one in self._taken:
            if one.high <= base or one.low >= high:
                left.append(one)
                continue
            assert one.free is not None
            if one.low < base:
                left.append(Taken(one.low, base, one.free))
            if one.high > high:
                left.append(Taken(high, one.high, one.free))
        taken = Taken(base, high)
        self._taken = [*left, taken]
        self._of[owner, region.number] = taken
        self._held[owner] = self._held.get(owner, 0) + high - base

    def release(self, region: Region, owner: int, moment: int) -> None:
        """Nobody needs a program's region from a moment on."""
        taken = self._of.pop((owner, region.number))
        taken.free = moment
        self._held[owner] -= taken.high - taken.low
