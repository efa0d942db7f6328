"""Addresses into the operand buffers: what ARRAY reads in a cycle to stream and to load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import NO_TABLE, Stationary
from gatewright.sim.stepped.instruction import Instruction, Work, filter_number
from gatewright.sim.stepped.state import Shared


@dataclass
class Fetched:
    """The output registers of the operand buffers: a streamed vector with its swap flag, and stationary vectors.

    ``stream`` is [rows] int8; ``bus`` [rows, load_vectors] int8 for columns ``first`` to ``first + count - 1``.
    """

    stream: npt.NDArray[np.int8] | None = None
    swap: bool = False
    bus: npt.NDArray[np.int8] | None = None
    first: int = 0
    count: int = 0


@dataclass
class Slot:
    """One cycle of a stream on its way to the accumulators.

    ``entry`` is None in the bubbles that fill a short stream up; ``add`` says to add to the entry; ``last`` ends the
    MATMUL. ``sums`` and ``old`` are the registers of the accumulator's pipeline.
    """

    instruction: Instruction
    entry: int | None
    add: bool
    last: bool
    sums: npt.NDArray[np.int32] | None = None
    old: npt.NDArray[np.int32] | None = None


class Fetcher:
    """The operand addresses of one MATMUL, whose sizes are registered as it starts."""

    def __init__(self, shared: Shared, instruction: Instruction, work: Work) -> None:
        self._shared = shared
        self.instruction = instruction
        self.work = work
        self.standing, self.streaming = work.vectors(instruction["stationary"])
        self._filters_stand = instruction["stationary"] == Stationary.FILTERS
        self._in_order = bool(instruction["in_order"])
        if self._in_order and instruction["filter_table"] == NO_TABLE:
            raise GatewrightError(f"{instruction}: in_order needs a filter_table")
        one_at_a_time = self._filters_stand and instruction["filter_table"] != NO_TABLE and not self._in_order
        self._width = 1 if one_at_a_time else shared.arch.load_vectors

    def _word(self, is_filter: bool, vector: int, slice_number: int) -> npt.NDArray[np.int8]:
        """One operand word, [rows]: vector number ``vector`` of the instruction's pixels or filters.

        ``slice_number`` counts from first_slice on, whose words the bases name.
        """
        fields = self.instruction
        if is_filter:
            place = vector if self._in_order else filter_number(fields, self._shared.tables, vector)
            word = fields["weight_base"] * REGION_UNIT + slice_number * fields["weight_vectors"] + place
            return self._shared.weights.read(word, fields)
        if self.work.reduction == 0:
            # GATHER wrote nothing: without input channels the operand's lanes are all cleared.
            return np.zeros(self._shared.arch.rows, np.int8)
        place = fields["first_pixel"] + vector
        word = fields["patch_base"] * REGION_UNIT + slice_number * fields["patch_vectors"] + place
        return self._shared.patch.read(word, fields)

    def load(self, block: int, slice_number: int) -> Iterator[Fetched]:
        """The load of one tile, one element a cycle."""
        columns, lanes = self._shared.arch.columns, self._shared.arch.load_vectors
        begin = block * columns
        vectors = min(columns, self.standing - begin)
        for first in range(0, vectors, self._width):
            count = min(self._width, vectors - first)
            bus = np.zeros((self._shared.arch.rows, lanes), np.int8)
            for offset in range(count):
                word = self._word(self._filters_stand, begin + first + offset, slice_number)
                bus[:, (first + offset) % lanes] = word
            yield Fetched(bus=bus, first=first, count=count)

    def stream(self, slice_number: int, number: int) -> npt.NDArray[np.int8]:
        """Streamed vector ``number`` of a slice, [rows]."""
        return self._word(not self._filters_stand, number, slice_number)
