"""A builder that puts things anywhere: pieces of every memory at random places, often at its very ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from gatewright.contract.arch import ACCUMULATOR_BANKS, BEAT_BYTES, MASKS, ArchConfig
from gatewright.verify.kit.generate.builder import Builder, up


class NoRoom(Exception):
    """What was drawn does not fit the machine."""


class Pieces:
    """The free units of a memory, from which pieces are taken at random."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._rng, self._size = rng, size
        self._taken: list[tuple[int, int]] = []

    def take(self, size: int, step: int = 1) -> int:
        """The begin, a multiple of ``step``, of ``size`` free units (at least ``step``). Raises ``NoRoom``."""
        size = max(size, step)
        gaps, begin = [], 0
        for low, high in [*sorted(self._taken), (self._size, self._size)]:
            first, last = up(begin, step), (low - size) // step * step
            if first <= last:
                gaps.append((first, last))
            begin = max(begin, high)
        if not gaps:
            raise NoRoom
        first, last = gaps[int(self._rng.integers(len(gaps)))]
        start = (first, last, first + step * int(self._rng.integers((last - first) // step + 1)))[self._rng.integers(3)]
        self._taken.append((start, start + size))
        return start

    def clear(self) -> None:
        """Everything is free again."""
        self._taken = []


class ScatterBuilder(Builder):
    """Nothing lies behind the other. ``release`` frees what only instructions before an EXIT that waits use."""

    def __init__(self, arch: ArchConfig, rng: np.random.Generator) -> None:
        super().__init__(arch)
        self._rng = rng
        self._scratch = Pieces(rng, arch.scratchpad_bytes)
        self._weights = Pieces(rng, arch.weight_words)
        self._entries = Pieces(rng, arch.parameter_entries)
        self._free_tables = list(range(arch.tables))
        self.masks = [int(mask) for mask in rng.permutation(MASKS - 1)]
        """The masks in the order of their use; the last mask is never written: its bits are 0."""

    def room(self, size: int, odd: int = 0) -> int:
        """A piece of the scratchpad; ``odd`` bytes off a word."""
        return self._scratch.take(up(odd + size, BEAT_BYTES), BEAT_BYTES) + odd

    def weight_room(self, vectors: int, slices: int) -> int:
        return self._weights.take(up(vectors * slices, 4), 4)

    def parameter_room(self, entries: int) -> int:
        return self._entries.take(entries)

    def patch_room(self, words: int) -> int:
        if words > self.arch.patch_words:
            raise NoRoom
        return Pieces(self._rng, self.arch.patch_words).take(words, 4) // 4

    def accumulator_room(self, entries: int) -> int:
        if entries > self.arch.accumulator_depth:
            raise NoRoom
        return Pieces(self._rng, self.arch.accumulator_depth).take(entries)

    def banks(self) -> list[int]:
        return [int(bank) for bank in self._rng.permutation(ACCUMULATOR_BANKS)[: self._rng.integers(2, 5)]]

    def free_table(self) -> int | None:
        """A table that nobody holds, to be used at once; None if there is none."""
        return int(self._rng.choice(self._free_tables)) if self._free_tables else None

    def take_table(self) -> int | None:
        """A table to hold until ``give_table``; None if there is none."""
        table = self.free_table()
        if table is not None:
            self._free_tables.remove(table)
        return table

    def give_table(self, *tables: int | None) -> None:
        """Tables back, which nothing behind an EXIT reads."""
        self._free_tables += [table for table in tables if table is not None]

    def release(self) -> None:
        """Weights and parameters so far are no longer used."""
        self._weights.clear()
        self._entries.clear()

    def program(self, output: tuple[int, int] = (0, 0), page_size: int | None = None) -> Any:
        """The program so far; without ``page_size`` in pages of any size, often the largest."""
        largest = min(self.arch.page_instructions, LONGEST_PAGE)
        if page_size is None:
            page_size = int(self._rng.choice([largest, int(self._rng.integers(6, 25))], p=[0.25, 0.75]))
        return super().program(output, page_size)


LONGEST_PAGE = 1365
"""Instructions of a page: one row of a LOAD brings it."""
