"""Random STOREs, and what the stepped simulator's unit does with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.isa import Opcode, Unit
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared
from gatewright.sim.stepped.store.unit import StoreUnit as SteppedStore
from gatewright.verify.kit import programs

IMAGE_BYTES = 1 << 16
PAGE = 4096


@dataclass
class Store:
    """Fields, and the cycles from which it may be dispatched and begin."""

    dram_address: int
    address: int
    beats: int
    push: int
    release: int

    @property
    def fields(self) -> dict[str, int]:
        return {"dram_address": self.dram_address, "address": self.address, "beats": self.beats}

    def instruction(self, row: int) -> Instruction:
        return Instruction(row, programs.row(Opcode.STORE, **self.fields))

    def bursts(self) -> list[tuple[int, int]]:
        """(byte address, beats), cut at 4 KiB."""
        found, address, left = [], self.dram_address, self.beats
        while left:
            beats = min(left, (PAGE - address % PAGE) // BEAT_BYTES)
            found.append((address, beats))
            address, left = address + beats * BEAT_BYTES, left - beats
        return found


def random_stores(rng: np.random.Generator, arch: ArchConfig, count: int) -> list[Store]:
    stores, cycle = [], 0
    for _ in range(count):
        cycle += int(rng.choice([1, 1, 5, 300]))
        beats = int(rng.choice([0, 1, 2, int(rng.integers(3, 30)), int(rng.integers(240, 560))]))
        page = PAGE * int(rng.integers(1, 8))
        target = page + BEAT_BYTES * int(rng.choice([-2, -1, 0, 1, int(rng.integers(0, 256))]))
        source = BEAT_BYTES * int(rng.integers(0, arch.scratchpad_bytes // BEAT_BYTES - 600))
        stores.append(Store(target, source, beats, cycle, cycle + int(rng.choice([0, 0, 40]))))
    return stores


@dataclass
class Events:
    """Cycles of starts and of retiring; bursts (byte address, beats); DRAM's bytes at the end."""

    starts: list[int]
    retires: list[int]
    image: npt.NDArray[np.uint8]


def run_twin(arch: ArchConfig, stores: list[Store], scratchpad: npt.NDArray[np.int8]) -> Events:
    shared = Shared(arch, np.zeros(IMAGE_BYTES, np.uint8), None)
    shared.scratchpad.bytes[:] = scratchpad
    unit = SteppedStore(shared)
    instructions = [store.instruction(row) for row, store in enumerate(stores)]
    retires: list[int] = []
    shared.completions.met = lambda i: shared.clock.cycle >= stores[i.row].release  # type: ignore[method-assign]
    shared.completions.retire = lambda i: retires.append(shared.clock.cycle)  # type: ignore[method-assign]
    queue, given = shared.queues[Unit.STORE], 0
    while len(retires) < len(stores):
        assert shared.clock.cycle < 1_000_000, "the simulator's stores do not end"
        if given < len(stores) and not queue.full and shared.clock.cycle >= stores[given].push:
            queue.push(instructions[given])
            given += 1
        unit.step()
        shared.clock.tick()
    return Events([i.start for i in instructions], retires, shared.dram.bytes)
