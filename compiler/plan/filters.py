"""How a layer's filters come to the weight buffer: whole, or streamed in groups and pieces of the reduction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import lcm, prod
from typing import TypeVar

from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.contract.arch import BEAT_BYTES, OPERAND_BANKS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Space

_Thing = TypeVar("_Thing")

RESIDENT_SHARE = 7, 16
"""Filters that take more of the weight buffer than this are streamed: a group of theirs, and a part of the next, must
find room beside what is resident."""

PIECE_SHARE = 4
"""A streamed piece takes one in so many words of the weight buffer at most."""

VECTOR_SHARE = 8
"""Where one vector is multiplied, filters are used as fast as they come: groups take one in so many of the words,
so that few LOADs bring them."""

MOST_BLOCKS = 4
"""Blocks of the array in a group of 1x1 filters by reduction: a row of one block is a beat, and each row a burst."""

FIRST_SLICES = 4
"""Slices of the first piece of a group whose filters a table picks: nothing begins before it has come."""


@dataclass(frozen=True)
class Slices:
    """Slices [first, first + count) of a reduction."""

    first: int
    count: int


@dataclass(frozen=True)
class FilterBank:
    """A weight matrix in DRAM, and how it is cut for the weight buffer.

    ``rows`` of ``row_beats`` beats lie at ``address``: a row per filter (by vector), or per input channel (by
    reduction; streamed ones per group and input channel, a group's rows together). ``gate`` names the channel gate
    whose table picks the rows to read: of the input for banks by reduction, of the output for streamed ones by vector.
    ``filters`` at most are loaded together, a *group*; ``pieces`` are those of its slices that one LOAD brings.
    """

    name: str
    address: int
    space: Space
    rows: int
    row_beats: int
    filters: int
    reduction: int
    taps: int
    gate: str | None
    group: int
    pieces: tuple[Slices, ...]
    first_pieces: tuple[Slices, ...] = ()
    """Those of the first group, if they are others."""
    returns: bool = False
    """Whether the buffer does not hold a group at once, so that its pieces come again for each chunk of pixels."""
    output_gate: str | None = None
    """Of a bank by reduction the gate of the output: its table picks the filters of what has been loaded."""
    by_taps: bool = False
    """Whether its rows are those of one tap behind those of another, and a piece is of one tap (``plan.by_taps``)."""
    both_ends: bool = False
    """Whether groups come from both ends in turn: those behind the list of a live program's table are empty, and would
    keep the array waiting for their instructions side by side."""

    def pieces_in(self, group: int) -> tuple[Slices, ...]:
        """The pieces of a group."""
        return self.first_pieces if group == 0 and self.first_pieces else self.pieces

    @property
    def streamed(self) -> bool:
        """Whether the filters come in groups or pieces, each of which gives way to those that follow."""
        return self.group < self.filters or len(self.pieces) > 1

    @property
    def vectors(self) -> int:
        """Vectors of a region: a group, padded."""
        return padded_vectors(self.group)

    @property
    def listed(self) -> bool:
        """Whether the vectors of a region are entries of the gate's table, one after another."""
        return self.gate is not None and self.space == Space.WEIGHTS_BY_VECTOR

    @property
    def picked(self) -> bool:
        """Whether filters of each group are picked: by a table of their numbers in the group."""
        return self.output_gate is not None and self.streamed and not self.by_taps

    def groups(self, filters: int) -> int:
        """Groups of so many filters."""
        return -(-filters // self.group)

    def in_order(self, filters: int) -> list[int]:
        """The groups of so many filters in the order in which they are used."""
        groups = range(self.groups(filters))
        ordered = FIRST_GROUPS if self.both_ends else len(groups)
        return [*groups[:ordered], *from_both_ends(groups[ordered:])]

    def behind(self, group: int, filters: int) -> int:
        """The group that is used behind one, of so many filters; their number behind the last."""
        if not self.both_ends:
            return group + 1
        order = [*self.in_order(filters), self.groups(filters)]
        return order[order.index(group) + 1]

    def group_address(self, group: int) -> int:
        """Where a group's rows begin in DRAM; ``first_row`` counts from there."""
        if self.space == Space.WEIGHTS_BY_REDUCTION:
            return self.address + group * self.rows * self.row_beats * BEAT_BYTES
        return self.address


def from_both_ends(things: Sequence[_Thing]) -> list[_Thing]:
    """The first one, the last, the second, ...: what lies behind the end of a table's list comes one by one.

    Side by side it would hold all places of an operand buffer, and nothing would come ahead.
    """
    half = -(-len(things) // 2)
    turns = zip_longest(things[:half], reversed(things[half:]))
    return [one for two in turns for one in two if one is not None]


FIRST_GROUPS = 2
"""Groups that come in order before others come from both ends: an empty one takes a place of the weight buffer, and
would hold up the second, for which the array waits."""

LIVE_BLOCKS = 2
"""Blocks of the array in a group whose filters a table picks in a live program: instructions behind the list's end cost
cycles, and there are fewer."""


def cut(bank: FilterBank, arch: ArchConfig, vector: bool = False, live: bool = False) -> FilterBank:
    """The bank whole if it may be resident, else in groups of the array's columns and pieces of their reduction.

    By reduction a group comes whole: how its elements lie depends on the rows that are read. ``vector``: it is
    multiplied by one vector, or few. A group by vector that the buffer does not hold comes in pieces for each chunk.
    """
    slices = slices_of(bank.reduction, arch)
    resident, of = RESIDENT_SHARE
    if slices * padded_vectors(bank.filters) * of <= arch.weight_words * resident:
        return replace(bank, group=bank.filters, pieces=(Slices(0, slices),))
    group = min(arch.columns, bank.filters)
    if vector:
        group *= max(1, arch.weight_words // VECTOR_SHARE // (slices * padded_vectors(group)))
    elif bank.space == Space.WEIGHTS_BY_REDUCTION and bank.taps == 1:
        group *= max(1, min(MOST_BLOCKS, arch.weight_words // PIECE_SHARE // (slices * padded_vectors(group))))
    if live and bank.listed and slices * padded_vectors(LIVE_BLOCKS * group) <= arch.weight_words * 3 // 4:
        group = min(LIVE_BLOCKS * group, bank.filters)
    words = slices * padded_vectors(group)
    returns = words > arch.weight_words
    if returns and (vector or bank.space != Space.WEIGHTS_BY_VECTOR or bank.gate is not None):
        raise GatewrightError(
            f"arch {arch.name}: {group} filters of {bank.name} need {words} words of the weight buffer, "
            f"which has {arch.weight_words}; raise weight_kib"
        )
    pieces: tuple[Slices, ...] = (Slices(0, slices),)
    if bank.space == Space.WEIGHTS_BY_VECTOR:
        unit = reduction_unit(arch)
        most = arch.weight_words // PIECE_SHARE // padded_vectors(group)
        pieces = pieces_of(slices, most, unit)
        if bank.gate is not None:
            growing = growing_pieces(slices, most, unit, FIRST_SLICES, 1.5)
            return replace(bank, group=group, pieces=pieces, first_pieces=growing, both_ends=live)
    return replace(bank, group=group, pieces=pieces, returns=returns)


def reduction_unit(arch: ArchConfig) -> int:
    """Slices in which pieces of a reduction begin."""
    return lcm(OPERAND_BANKS, arch.slices_per_beat)


def may_stay(shapes: Sequence[tuple[int, ...]], arch: ArchConfig, beside: int = 0) -> bool:
    """Whether filters [filters, height, width, channels] of several layers may be resident, and at the same time.

    ``beside``: words that others need.
    """
    words = [slices_of(prod(shape[1:]), arch) * padded_vectors(shape[0]) for shape in shapes]
    share, of = RESIDENT_SHARE
    return max(words) * of <= arch.weight_words * share and sum(words) + beside <= arch.weight_words


def without_filters(name: str) -> FilterBank:
    """The bank of a layer that has parameters alone, or nothing, but its turn."""
    return FilterBank(name, 0, Space.WEIGHTS_BY_VECTOR, 0, 0, 1, 0, 0, None, 1, (Slices(0, 0),))


def cut_in_planes(bank: FilterBank, arch: ArchConfig, filters: int) -> FilterBank:
    """The bank of a grouped convolution: whole if it may be resident, else the ``filters`` of a plane at a time."""
    slices = slices_of(bank.reduction, arch)
    resident, of = RESIDENT_SHARE
    whole = slices * padded_vectors(bank.filters) * of <= arch.weight_words * resident
    group = bank.filters if whole else min(filters, bank.filters)
    words = slices * padded_vectors(group)
    if words > arch.weight_words:
        raise GatewrightError(
            f"arch {arch.name}: {group} filters of {bank.name} need {words} words of the weight buffer, "
            f"which has {arch.weight_words}; raise weight_kib"
        )
    return replace(bank, group=group, pieces=(Slices(0, slices),))


def growing_pieces(slices: int, most: int, unit: int, smallest: int, growth: float) -> tuple[Slices, ...]:
    """Slices cut into pieces that begin small and grow: each comes while the one before is multiplied."""
    pieces: list[Slices] = []
    first, size = 0, float(smallest)
    while first < slices:
        count = min(max(unit, int(size) // unit * unit), max(unit, most // unit * unit), slices - first)
        if slices - first - count < unit:
            count = slices - first
        pieces.append(Slices(first, count))
        first, size = first + count, growth * size
    return tuple(pieces)


def pieces_of(slices: int, most: int, unit: int) -> tuple[Slices, ...]:
    """Slices cut into pieces of ``most`` at most, of about one size, multiples of ``unit``."""
    most = max(unit, most // unit * unit)
    count = -(-slices // most)
    size = min(most, -(-slices // (count * unit)) * unit)
    return tuple(Slices(first, min(size, slices - first)) for first in range(0, slices, size))
