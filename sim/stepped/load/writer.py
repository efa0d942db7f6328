"""The way of a beat into its memory: a register, the lanes' turn or skew, and the write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, INSTRUCTION_BYTES, PARAMETER_BYTES
from gatewright.contract.encodings import REGION_UNIT, TABLE_ENTRIES_PER_BEAT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Space
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared

WRITE_STAGES = 2
"""Cycles from a beat's arrival to the cycle of its write."""


@dataclass
class Beat:
    """16 bytes on their way: ``row`` of ``rows``, and the beat's place ``column`` in its row."""

    instruction: Instruction
    data: npt.NDArray[np.uint8]
    row: int
    rows: int
    column: int
    last: bool


class BeatWriter:
    """A pipeline of one beat a cycle; stage 0 is the arrival, stage WRITE_STAGES the write."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._stages: list[Beat | None] = [None] * (WRITE_STAGES + 1)
        self._busy = 0

    def accept(self, beat: Beat) -> None:
        """A beat arrives in this cycle (called after ``step``)."""
        self._stages[0] = beat
        self._busy = WRITE_STAGES

    def step(self) -> None:
        """One clock cycle: the stages move on, and the beat in the last one is written."""
        if not self._busy:
            return
        self._busy -= 1
        self._stages = [None, *self._stages[:-1]]
        beat = self._stages[-1]
        if beat is not None:
            self._write(beat)

    def _write(self, beat: Beat) -> None:
        load, shared = beat.instruction, self._shared
        position = beat.row * load["row_beats"] + beat.column
        space = load["space"]
        if space == Space.SCRATCHPAD:
            shared.scratchpad.write_b(load["address"] + position * BEAT_BYTES, beat.data.view(np.int8), load)
        elif space == Space.WEIGHTS_BY_VECTOR:
            self._by_vector(beat)
        elif space == Space.WEIGHTS_BY_REDUCTION:
            self._by_reduction(beat)
        elif space == Space.PARAMETERS:
            entries = beat.data.reshape(-1, PARAMETER_BYTES)
            shared.parameters.write(load["address"] + position * len(entries), entries, load)
        elif space == Space.TABLE:
            values = beat.data.view("<u2")
            first = position * TABLE_ENTRIES_PER_BEAT
            for offset, value in enumerate(values[: max(0, load["count"] - first)]):
                shared.tables.write(load["address"], first + offset, int(value), load)
            if beat.last:
                shared.tables.set_count(load["address"], load["count"], load)
        elif space == Space.INSTRUCTIONS:
            shared.instructions.write(load["address"] * INSTRUCTION_BYTES + position * BEAT_BYTES, beat.data, load)
        else:
            raise GatewrightError(f"{load}: space {space} does not exist; see gatewright.contract.isa.Space")

    def _by_vector(self, beat: Beat) -> None:
        load, arch = beat.instruction, self._shared.arch
        lanes = np.arange(arch.slices_per_beat * arch.rows)
        slices = beat.column * arch.slices_per_beat + lanes // arch.rows
        kept = slices < load["count"]
        words = load["address"] * REGION_UNIT + slices * load["vectors"] + beat.row
        data = beat.data.view(np.int8)[: len(lanes)]
        self._shared.weights.write(words[kept], (lanes % arch.rows)[kept], data[kept], load)

    def _by_reduction(self, beat: Beat) -> None:
        load, arch = beat.instruction, self._shared.arch
        tap, piece = divmod(beat.column, -(-load["vectors"] // BEAT_BYTES))
        if tap >= load["taps"]:
            return
        first = piece * BEAT_BYTES
        count = min(BEAT_BYTES, load["vectors"] - first)
        reduction = tap * beat.rows + beat.row
        base = load["address"] * REGION_UNIT + reduction // arch.rows * load["vectors"] + first
        words = base + np.arange(count)
        lanes = np.full(count, reduction % arch.rows)
        self._shared.weights.write(words, lanes, beat.data.view(np.int8)[:count], load)
