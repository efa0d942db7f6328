"""INDEX: a mask becomes a table, word by word, the entries of four bits a cycle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gatewright.contract.encodings import COORDINATE_BITS, MASK_GROUP_BITS, MASK_WORD_BITS
from gatewright.contract.isa import Unit
from gatewright.contract.timing import DECODE_LATENCY, INDEX_LATENCY
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared

WRITE_STAGE = INDEX_LATENCY - 1 - DECODE_LATENCY
"""Pipeline stage of the table's write: the table stands still for DECODE_LATENCY cycles before the completion."""

assert WRITE_STAGE > 0


@dataclass
class Scan:
    """What one cycle of the scan finds: the entries of a group, none of an empty word; ``last`` ends the table."""

    entries: list[int]
    last: bool


class IndexUnit:
    """A scanner of 16-bit words and a pipeline of INDEX_LATENCY stages to the completion.

    s: the instruction's registers are loaded. From s + 1 on, each cycle finds the ones of a group of
    MASK_GROUP_BITS, the lowest group of the word that has any left; an empty word takes a cycle too. Positions
    become (y, x) in counters that follow the scan. The entries are written together in stage WRITE_STAGE, and the count
    with the last of them. INDEX is complete, and the next one may start, when the last of them has left the pipeline.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._active: Instruction | None = None
        self._scanner: Iterator[Scan] | None = None
        self._stages: list[Scan | None] = [None] * INDEX_LATENCY
        self._position = 0

    def step(self) -> None:
        """One clock cycle."""
        if self._active is None:
            self._active = self._shared.take(Unit.INDEX)
            if self._active is None:
                return
            self._position = 0
            self._scanner = self._scan(self._active)
            # Without a word to look at, the end of the table enters the pipeline at once.
            self._stages = [None if self._active["bits"] else Scan([], True), *self._stages[:-1]]
            return
        assert self._scanner is not None
        self._stages = [next(self._scanner, None), *self._stages[:-1]]
        found, leaving = self._stages[WRITE_STAGE], self._stages[-1]
        if found is not None:
            self._write(self._active, found)
        if leaving is not None and leaving.last:
            self._shared.completions.retire(self._active)
            self._active = None

    def _scan(self, index: Instruction) -> Iterator[Scan]:
        """One element a cycle."""
        bits, width = index["bits"], index["grid_width"]
        for first in range(0, bits, MASK_WORD_BITS):
            places = np.arange(first, min(first + MASK_WORD_BITS, bits))
            word = self._shared.masks.read_on(index["mask"], places, index) ^ bool(index["complement"])
            ones = places[word & (places >= index["first_bit"])]
            final = first + MASK_WORD_BITS >= bits
            groups = np.split(ones, np.flatnonzero(np.diff(ones // MASK_GROUP_BITS)) + 1)
            for number, group in enumerate(groups):
                entries = [self._entry(place, width) for place in group.tolist()]
                yield Scan(entries, final and number == len(groups) - 1)

    @staticmethod
    def _entry(place: int, width: int) -> int:
        y, x = divmod(place, width) if width else (0, place)
        return y << COORDINATE_BITS | x

    def _write(self, index: Instruction, found: Scan) -> None:
        for entry in found.entries:
            self._shared.tables.write(index["table"], self._position, entry, index)
            self._position += 1
        if found.last:
            self._shared.tables.set_count(index["table"], self._position, index)
