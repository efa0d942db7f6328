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

    def earliest(self, region: Region, owner: int) -> tuple[int, int] | None:
        """When there is room for a region of a program at the earliest, and where; None as long as nobody knows."""
        words = self._words(region)
        held = self._held.get(owner, 0)
        if held and held + words > self.share:
            return None
        best: tuple[int, int] | None = None
        for base in {0, *(one.high for one in self._taken)}:
            if base + words > self.size:
                continue
            moment = 0
            for one in self._taken:
                if one.low < base + words and base < one.high:
                    if one.free is None:
                        break
                    moment = max(moment, one.free)
            else:
                if best is None or (moment, base) < best:
                    best = moment, base
        return best

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
