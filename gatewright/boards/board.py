"""What there is to say about a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated

from annotated_types import Ge, Interval, Len

from gatewright.boards.dram import BoardDram
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import show


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
class Chip:
    """A Zynq UltraScale+, as the vendor's tools name it, and how much of it a design may fill."""

    name: str
    """The short name that reports print."""
    part: str
    """The part's full name, package and speed grade included."""
    board_part: str
    """The board's files, vendor:name:part0, without the version: they configure the processing system."""
    capacity: Resources
    goals: Mapping[str, Annotated[float, Interval(gt=0, le=1)]]
    """Shares of the chip that a design should stay below, so that it can be placed and routed at speed."""


@dataclass(frozen=True)
class Board:
    """A board, as its file says: the chip, the DRAM, clocks, and the machine that suits it."""

    name: str
    title: str
    clocks_mhz: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1)]
    """Clocks of the machine that may be chosen; the last one is the default."""
    dram: BoardDram
    machine: Mapping[str, bool | int | str]
    """The preset that the machine starts from, as ``preset``, and the parameters in which it differs."""
    chip: Chip | None
    """None where there is none: the machine runs in a simulator alone."""

    def arch(self, clock_mhz: int | None = None) -> ArchConfig:
        """The machine at one of the board's clocks, with the DRAM in cycles of it.

        Its name is the board's, at the default clock, or the board's and the clock's.
        """
        clock = self.clocks_mhz[-1] if clock_mhz is None else clock_mhz
        if clock not in self.clocks_mhz:
            clocks = ", ".join(map(str, self.clocks_mhz))
            raise GatewrightError(f"board {self.name}: no clock of {clock} MHz; there are {clocks}")
        changes = dict(self.machine)
        preset = changes.pop("preset", None)
        if preset not in PRESETS:
            raise GatewrightError(f"board {self.name}: machine.preset = {show(preset)} is none of {', '.join(PRESETS)}")
        name = self.name if clock == self.clocks_mhz[-1] else f"{self.name}-{clock}"
        derived = {"name": name, "clock_mhz": clock, "dram": vars(self.dram.at(clock))}
        twice = sorted(changes.keys() & derived.keys())
        if twice:
            raise GatewrightError(f"board {self.name}: machine.{twice[0]} follows from the file's other keys")
        return ArchConfig.from_dict({**PRESETS[preset].to_dict(), **changes, **derived}, f"board {self.name}: machine")

    def need_chip(self) -> Chip:
        """The chip; a board without one is an error."""
        if self.chip is None:
            raise GatewrightError(f"board {self.name} has no chip: {self.title}")
        return self.chip
