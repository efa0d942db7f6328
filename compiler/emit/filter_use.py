"""A filter bank in the order in which banks are used, and what of it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gatewright.compiler.plan.filters import FilterBank, Slices


class Weights(NamedTuple):
    """Loaded filters: the word of vector 0 of slice ``first_slice``, and the region's vectors."""

    base: int
    vectors: int
    first_slice: int


@dataclass
class Use:
    """A bank in the order of use; ``turn``: its layer's number. ``group`` and ``piece`` are the next to be loaded.

    ``serial`` is -1 while the order of those that are used in turn is not known. Without active tiles of ``tile_gate``
    the bank is not used. ``left``: pieces that are meant, if others of the bank come later.
    """

    turn: int
    bank: FilterBank
    serial: int
    tile_gate: str | None
    group: int = 0
    piece: int = 0
    left: int | None = None

    @property
    def region(self) -> str:
        """The name of the region of the piece that is next."""
        return region_name(self.bank, self.serial, self.group, self.piece)

    def advance(self, filters: int) -> bool:
        """One piece more is loaded, of so many filters that are used; whether it was the last that is meant."""
        self.piece += 1
        if self.piece == len(self.bank.pieces_in(self.group)):
            self.group, self.piece = self.bank.behind(self.group, filters), 0
        if self.left is not None:
            self.left -= 1
        return self.group == self.bank.groups(filters) or self.left == 0


def region_name(bank: FilterBank, serial: int, group: int, piece: int) -> str:
    """What the weight buffer's ring calls a piece of a streamed bank, or a resident bank."""
    return f"{bank.name} ({serial}.{group}.{piece})" if bank.streamed else bank.name


def part_of(piece: Slices, patches: Slices) -> Slices:
    """Slices that a loaded piece and gathered patches have in common."""
    first = max(piece.first, patches.first)
    return Slices(first, min(piece.first + piece.count, patches.first + patches.count) - first)
