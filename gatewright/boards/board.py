"""What there is to say about a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Resources:
    """Amounts of what an UltraScale+ is made of."""

    lut: int = 0
    """6-input look-up tables in all, those used as memory or shift registers included."""
    lutram: int = 0
    """Look-up tables used as memory or shift registers."""
    ff: int = 0
    carry8: int = 0
    bram36: float = 0
    """Blocks of 36 Kbit; a RAMB18E2 is half of one."""
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Resources)))

    def __mul__(self, count: int) -> Resources:
        return Resources(*(getattr(self, f.name) * count for f in fields(Resources)))


@dataclass(frozen=True)
class Board:
    """A board with an UltraScale+ on it.

    Clock, DRAM rate and the multipliers that the array may take are those of the machine that suits it: the
    preset ``machine`` of ``contract.arch``.
    """

    name: str
    title: str
    chip: str
    """The chip's short name, as reports print it."""
    machine: str
    """The preset that fills this chip within its goals."""
    capacity: Resources
    goals: Mapping[str, float]
    """Shares of the chip that a design should stay below, so that it can be placed and routed at speed."""
