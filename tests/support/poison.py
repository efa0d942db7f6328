"""Images back to back on the fast simulator, with memories that lose what nobody of an image needs any more.

A location is overwritten with noise as soon as the last instruction of the image that uses it has been executed, and
all of them before the first image. What must come out is what comes out without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.encodings import MASK_WORD_BITS
from gatewright.contract.images import Images
from gatewright.contract.program import Program
from gatewright.sim.audit.accesses import accesses
from gatewright.sim.fast import sequencer, work
from gatewright.sim.fast.run import Run
from gatewright.sim.fast.state import State
from gatewright.sim.fast.touched import READ, WRITE, Places, nothing_touched, places

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Poisoned:
    """What the images have left in DRAM, the cycles, and how many locations were poisoned, image by image."""

    dram: npt.NDArray[np.uint8]
    noise: npt.NDArray[np.bool_]
    """The bytes of ``dram`` that are poison themselves: maps that lie there."""
    cycles: int
    locations: int

    def assert_same(self, dram: npt.NDArray[np.uint8], cycles: int) -> None:
        """It must be what comes out without poison."""
        np.testing.assert_array_equal(self.dram[~self.noise], dram[~self.noise])
        assert self.cycles == cycles, f"{self.cycles} cycles, {cycles} without poison"


def simulate_poisoned(program: Program, dram: npt.NDArray[np.uint8], images: Images, seed: int) -> Poisoned:
    """Run the images twice: once to see who uses what last, and once with poison behind that."""
    last = _last_uses(program, dram, images)
    run, rng = Run(program, dram, images), np.random.default_rng(seed)
    at = places(run.geometry, run.state)
    _poison(run.state, at, np.arange(at.table), rng)  # masks and counts are zero at the start, by contract
    total, finished = 0, False
    noise = np.zeros(len(dram), np.bool_)
    for row, locations in sorted(last.items()):
        finished = run.advance(row + 1)
        _poison(run.state, at, locations, rng)
        total += len(locations)
        for beat in (locations[locations >= at.dram] - at.dram).tolist():
            noise[BEAT_BYTES * beat : BEAT_BYTES * (beat + 1)] = True
    assert finished, "the last instruction is used last, by its fetch"
    return Poisoned(run.state.dram, noise, run.schedule()[1], total)


def _last_uses(program: Program, dram: npt.NDArray[np.uint8], images: Images) -> dict[int, Rows]:
    """Behind which row of a run which locations are used no more by its image.

    Of DRAM these are what the image stores and loads again: outputs are the host's, all else is read alone.
    """
    run = Run(program, dram, images)
    at = places(run.geometry, run.state)
    touched = nothing_touched(at)
    last, uses = np.full(at.total, -1), np.zeros(at.total, np.uint8)
    last[at.instruction : at.instruction + program.boot_count] = 0
    found: dict[int, Rows] = {}

    def image_over() -> None:
        used = np.flatnonzero(last >= 0)
        used = used[(used < at.dram) | (uses[used] & (READ | WRITE) == READ | WRITE)]
        for row in np.unique(last[used]).tolist():
            found[row] = used[last[used] == row]
        last[:] = -1
        uses[:] = 0

    finished = False
    while not finished:
        fetched_from, row = run.pc, run.count + 1
        finished = run.advance(row + 1)
        if run.work[row, work.OPCODE] == sequencer.BOOT:
            image_over()
            last[at.instruction : at.instruction + program.boot_count] = row
            continue
        accesses(run.geometry, run.state, at, run.executed[row], run.work[row], fetched_from, touched)
        listed = touched.listed[: touched.listed_count[0]]
        last[listed] = row
        uses[listed] |= touched.use[listed]
    image_over()
    return found


def _poison(state: State, at: Places, locations: Rows, rng: np.random.Generator) -> None:
    """Anything in some locations; an instruction is none any more."""

    def inside(memory: str, end: int) -> Rows:
        first = getattr(at, memory)
        return locations[(locations >= first) & (locations < end)] - first

    def fill(memory: npt.NDArray[np.generic], rows: Rows) -> None:
        width = memory[:1].nbytes
        memory[rows] = (
            rng.integers(0, 256, (len(rows), width), np.uint8).view(memory.dtype).reshape(len(rows), *memory.shape[1:])
        )

    fill(state.scratchpad.reshape(-1, BEAT_BYTES), inside("scratchpad", at.patch))
    fill(state.patch, inside("patch", at.weight))
    fill(state.weight, inside("weight", at.accumulator))
    fill(state.accumulators.reshape(-1, state.accumulators.shape[2]), inside("accumulator", at.parameter))
    parameters = inside("parameter", at.table)
    fill(state.bias, parameters)
    state.multiplier[parameters] = rng.integers(0, 1 << 16, len(parameters))
    state.shift[parameters] = rng.integers(0, 1 << 6, len(parameters))
    tables = inside("table", at.mask)
    fill(state.tables, tables)
    state.counts[tables] = rng.integers(0, state.tables.shape[1], len(tables))
    masks = inside("mask", at.instruction)
    state.masks.reshape(-1, MASK_WORD_BITS)[masks] = rng.integers(0, 2, (len(masks), MASK_WORD_BITS)).astype(np.bool_)
    instructions = inside("instruction", at.dram)
    fill(state.instructions, instructions)
    state.loaded[instructions] = 0
    beats = inside("dram", at.total)
    for beat in beats.tolist():
        place = state.dram[BEAT_BYTES * beat : BEAT_BYTES * (beat + 1)]
        place[:] = rng.integers(0, 256, len(place), np.uint8)
