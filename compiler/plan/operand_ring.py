"""Where regions lie in a buffer whose regions come and go: patches, filters, parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gatewright.contract.errors import GatewrightError

REGION_GRANULE = 16
"""Words in which regions of an operand buffer begin and end; what is noted of their users is noted of as many."""


@dataclass
class Ring:
    """Consecutive regions of an operand buffer, reused in order; live regions are never overlapped."""

    size: int
    what: str
    live: dict[str, tuple[int, int]] = field(default_factory=dict)
    _next: int = 0
    _reserved: dict[str, str] = field(default_factory=dict)
    """By name the region that ``take`` will give."""

    def reserve(self, sizes: Mapping[str, int]) -> bool:
        """Keep room for regions that will be needed at the same time, one behind the other; False if there is none."""
        granules = {name: -(-words // REGION_GRANULE) * REGION_GRANULE for name, words in sizes.items()}
        base = self.place(sum(granules.values()), self.live)
        if base is None:
            return False
        for name, words in granules.items():
            self._reserved[name] = f"{name}, reserved"
            self.live[self._reserved[name]] = (base, base + words)
            base += words
        self._next = base
        return True

    def take(self, name: str, words: int) -> int | None:
        """The base of a region of ``words`` words, or None while live regions are in the way."""
        words = -(-words // REGION_GRANULE) * REGION_GRANULE
        if words > self.size:
            raise GatewrightError(
                f"{name} needs {words} words of the {self.what}, which has {self.size}; use an arch with a larger one"
            )
        if words == 0:
            self.live[name] = (0, 0)  # in nobody's way
            return 0
        if name in self._reserved:
            self.live[name] = self.live.pop(self._reserved.pop(name))
            return self.live[name][0]
        base = self.place(words, self.live)
        if base is not None:
            self.live[name] = (base, base + words)
            self._next = base + words
        return base

    def take_at(self, name: str, words: int, base: int) -> int | None:
        """As ``take``, at a base, or None while live regions are in the way there."""
        words = -(-words // REGION_GRANULE) * REGION_GRANULE
        if base < 0 or any(low < base + words and base < high for low, high in self.live.values()):
            return None
        self.live[name] = (base, base + words)
        self._next = base + words
        return base

    def shrink(self, name: str, low: int, high: int) -> None:
        """Nothing after this point in the program reads more of a region than words [low, high)."""
        low, high = low // REGION_GRANULE * REGION_GRANULE, -(-high // REGION_GRANULE) * REGION_GRANULE
        begin, end = self.live[name]
        self.live[name] = (max(begin, low), min(end, high))

    def place(self, words: int, beside: Iterable[str]) -> int | None:
        """The base that ``take`` would choose if only the regions ``beside`` were live."""
        words = -(-words // REGION_GRANULE) * REGION_GRANULE
        taken = [self.live[name] for name in beside]
        for base in (self._next, 0, *sorted(end for _, end in taken)):
            high = base + words
            if high <= self.size and not any(low < high and base < end for low, end in taken):
                return base
        return None

    def leaves_room(self, group: int, words: int, beside: Iterable[str]) -> bool:
        """Whether ``take`` would find room for ``words`` where the ring holds as many regions of ``group`` words.

        As many as it held if it were empty but for the regions ``beside``, which stay.
        """
        base = self.place(words, self.live)
        if base is None:
            return False
        kept = sorted([(base, base + words), *(self.live[name] for name in beside)])
        gaps = zip([0, *(end for _, end in kept)], [*(begin for begin, _ in kept), self.size], strict=True)
        return sum((high - low) // group for low, high in gaps) >= self.size // group

    def release(self, name: str) -> None:
        """Nothing after this point in the program reads the region."""
        self.live.pop(name, None)
