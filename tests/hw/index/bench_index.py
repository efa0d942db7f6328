"""cocotb: INDEX against its twin: each table write and completion in its cycle."""

from __future__ import annotations

import os
import random
from types import SimpleNamespace
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.arch import MASKS
from gatewright.contract.isa import Opcode, Unit
from gatewright.hw.layouts import head_layout
from gatewright.hw.signatures import count_bits
from gatewright.sim.stepped.control.queue import Clock, Queue
from gatewright.sim.stepped.index.unit import IndexUnit as Twin
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.memories.tables import Masks
from gatewright.verify.kit.programs import row
from tests.hw.instructions import ARCH
from tests.support.rtl import Bench, pack

INSTRUCTIONS = 60


class Recorder:
    """What the twin does in a cycle, instead of doing it: the values as the hardware's fields hold them."""

    def __init__(self, shared: SimpleNamespace) -> None:
        self._shared = shared
        self.clear()

    def clear(self) -> None:
        self.entries: dict[tuple[int, int], int] = {}
        self.count: tuple[int, int] | None = None
        self.started = self.retired = False

    def write(self, table: int, position: int, value: int, user: object) -> None:
        self.entries[table, position] = value & 0xFFFF

    def set_count(self, table: int, count: int, user: object) -> None:
        self.count = table, count & ((1 << count_bits(ARCH)) - 1)

    def retire(self, instruction: Instruction) -> None:
        self.retired = True

    def take(self, unit: Unit) -> Instruction | None:
        head: Instruction | None = self._shared.queue.head
        if head is None or not self._shared.met:
            return None
        self._shared.queue.pop()
        self.started = True
        return head


def random_index(rng: random.Random, number: int) -> Instruction:
    """Bits and grids at their ends and in between, those of real gates more often."""
    mask = rng.randrange(MASKS)
    bits = rng.choice((0, 1, 15, 16, 17, 64, 512, rng.randrange(1, 80), rng.randrange(513)))
    if rng.random() < 0.1:  # over the ends of masks, to the last one's at most
        bits = min(rng.randrange(513, 1025), (MASKS - mask) * 512)
    code = row(
        Opcode.INDEX,
        mask=mask,
        bits=bits,
        grid_width=rng.choice((0, 0, 1, 2, 3, 8, 15, 16, 17, 32, 255, 256, 1000, 2047, 16383, rng.randrange(1, 33))),
        table=rng.randrange(ARCH.tables),
        complement=rng.randrange(2),
        first_bit=rng.choice((0, 0, 1, 16, max(0, bits - 1), bits, rng.randrange(bits + 1), rng.randrange(1 << 14))),
    )
    return Instruction(number, code)


@cocotb.test()
async def indexes_like_its_twin(dut: Any) -> None:
    seed = int(os.environ["SEED"])
    rng = random.Random(seed)
    bench = Bench(dut)
    await bench.reset()
    clock = Clock()
    shared: Any = SimpleNamespace(clock=clock, masks=Masks(clock), queue=Queue(clock, 2), met=True)
    density = np.array([rng.choice((0.0, 0.02, 0.3, 0.7, 1.0)) for _ in range(MASKS)])
    shared.masks._bits[:] = (np.random.default_rng(seed).random((MASKS, 512)) < density[:, None]).reshape(-1)
    words = [int("".join(str(int(b)) for b in word[::-1]), 2) for word in shared.masks._bits.reshape(-1, 16)]
    recorder = Recorder(shared)
    shared.tables = shared.completions = recorder
    shared.take = recorder.take
    twin = Twin(shared)
    pushed = retired = entries = read = 0
    before = -1
    layout = head_layout(Unit.INDEX)
    while retired < INSTRUCTIONS:
        if pushed < INSTRUCTIONS and not shared.queue.full and rng.random() < 0.5:
            shared.queue.push(random_index(rng, pushed))
            pushed += 1
        shared.met = rng.random() < 0.8
        items = shared.queue._items
        head = pack(layout, {"operands": items[0].fields}) if items else rng.getrandbits(layout.size)
        valid = shared.queue.head is not None
        # The memory looks ahead: only a word that was asked for before, or is behind that one, is there.
        found = words[read] if before in (read, read - 1) else rng.getrandbits(16)
        before = read
        bench.set(queue__head=head, queue__valid=int(valid), queue__waits_met=int(shared.met), mask__bits=found)
        await bench.settle()
        recorder.clear()
        twin.step()
        where = f"seed {seed}, cycle {bench.cycle}"
        for name in ("queue__take", "progress__start", "progress__run"):
            assert bench.get(name) == int(recorder.started), where
        assert bench.get("progress__retire") == int(recorder.retired), where
        assert bench.get("table__set_count") == int(recorder.count is not None), where
        table, position, enable, lanes = (
            bench.get(f"table__{name}") for name in ("table", "position", "enable", "entries")
        )
        places = [position + (lane - position) % 4 for lane in range(4)]
        written = {(table, places[lane]): lanes >> 16 * lane & 0xFFFF for lane in range(4) if enable >> lane & 1}
        assert written == recorder.entries, where
        entries += len(written)
        if recorder.count is not None:
            assert (bench.get("table__table"), bench.get("table__count")) == recorder.count, where
        retired += recorder.retired
        read = bench.get("mask__word")
        clock.tick()
        await bench.step()
    print(f"seed {seed}: {retired} instructions, {entries} entries, {bench.cycle} cycles")
    assert entries > 1000
