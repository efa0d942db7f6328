"""GATHER beside its twin: every cycle the same starts, the same writes and the same completions.

The twin's queue, counts, tables, masks and scratchpad drive the RTL's inputs; the memories' latencies are added here.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, MASK_COLUMNS, MASKS, OPERAND_BANKS, PORT_BYTES, load_arch
from gatewright.contract.isa import WAITS, Unit
from gatewright.contract.timing import DECODE_LATENCY, GATHER_LATENCY
from gatewright.hw.layouts import head_layout
from gatewright.hw.signatures import SCRATCHPAD_READ, patch_write, table_counts
from gatewright.sim.stepped.gather.unit import GatherUnit
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared
from tests.support.gather_case import SLICE_CORNERS, GatherCase, head_values, random_case, slice_corners
from tests.support.gather_rings import RING_CORNERS, ring_corners
from tests.support.rtl import Bench, pack, unpack

ARCH = load_arch(os.environ["ARCH"])
SEED = int(os.environ["SEED"])
INSTRUCTIONS = int(os.environ["INSTRUCTIONS"])
TABLE_PAIRS = ARCH.tables // 2
"""Instruction i uses tables 2 * (i mod TABLE_PAIRS) for its tiles and the next one for its channels."""

HEAD = head_layout(Unit.GATHER)
COUNTS = table_counts(ARCH)
BANK = patch_write(ARCH).members["banks"].shape.elem_shape


class Program:
    """Random instructions into the twin's queue, at random times, and the other units' part of the machine.

    Every instruction waits for a LOAD. Its tables hold garbage, another one in every cycle, until DECODE_LATENCY
    cycles before that LOAD counts as complete.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.shared = Shared(ARCH, np.zeros(16, np.uint8), rng)
        self.shared.masks._bits[:] = rng.random(MASKS * MASK_BITS) < 0.6
        self.cases: list[GatherCase] = []
        while not self._all_corners():
            self.cases = [
                random_case(rng, ARCH, 2 * (i % TABLE_PAIRS), 2 * (i % TABLE_PAIRS) + 1) for i in range(INSTRUCTIONS)
            ]
        self.instructions = [self._instruction(i, case) for i, case in enumerate(self.cases)]
        self._pushed = self._ready = 0
        self._next_push = self._next_ready = 0
        self._hasty = bool(rng.random() < 0.5)
        self._loads: deque[int] = deque()

    def _all_corners(self) -> bool:
        slices = set().union(*(slice_corners(case, ARCH) for case in self.cases))
        rings = set().union(*(ring_corners(case, ARCH) for case in self.cases))
        return slices == SLICE_CORNERS and rings == RING_CORNERS

    def _instruction(self, number: int, case: GatherCase) -> Instruction:
        code = case.code.copy()
        code[1:3] = Unit.LOAD, number + 1
        assert WAITS >= 1
        return Instruction(number, code)

    def before(self, done: int) -> None:
        """The rest of the machine's changes at the beginning of a cycle; ``done`` GATHERs are complete."""
        cycle, rng = self.shared.clock.cycle, self._rng
        if self._pushed < INSTRUCTIONS and cycle >= self._next_push and not self.shared.queues[Unit.GATHER].full:
            self.shared.queues[Unit.GATHER].push(self.instructions[self._pushed])
            self._pushed += 1
            self._next_push = cycle + 1 + (0 if rng.random() < 0.5 else int(rng.integers(0, 60)))
        if self._ready < min(INSTRUCTIONS, done + TABLE_PAIRS):
            if cycle >= self._next_ready:
                self._set_tables(self._ready)
                self._loads.append(cycle + DECODE_LATENCY)
                self._ready += 1
                slow = 3 if self._hasty else 80
                self._next_ready = cycle + (0 if rng.random() < 0.5 else int(rng.integers(0, slow)))
            else:
                self._spoil_tables(self._ready)
        while self._loads and self._loads[0] == cycle:
            self._loads.popleft()
            self.shared.completions._done[Unit.LOAD] += 1

    def _set_tables(self, number: int) -> None:
        case, tables = self.cases[number], self.shared.tables
        pair = 2 * (number % TABLE_PAIRS)
        tables._counts[pair], tables._counts[pair + 1] = len(case.tiles), case.channels
        tables._entries[pair, : len(case.tiles)] = case.tiles

    def _spoil_tables(self, number: int) -> None:
        pair = 2 * (number % TABLE_PAIRS)
        self.shared.tables._counts[pair : pair + 2] = self._rng.integers(0, ARCH.table_entries + 1, 2).tolist()
        self.shared.tables._entries[pair, :16] = self._rng.integers(0, 1 << 16, 16)


class Writes:
    """The bytes that the twin writes in a cycle, by bank, address and lane."""

    def __init__(self, shared: Shared) -> None:
        self.now: dict[tuple[int, int, int], int] = {}
        buffer = shared.patch
        write = buffer.write

        def record(words: npt.NDArray[np.int64], lanes: npt.NDArray[np.int64], data: Any, user: Instruction) -> None:
            offset = words - user["patch_base"] * OPERAND_BANKS
            slices, vectors = np.divmod(offset, user["patch_vectors"])
            banks = (vectors + slices + user["first_slice"]) % OPERAND_BANKS
            for word, bank, lane, byte in zip(words, banks, lanes, data, strict=True):
                self.now[int(bank), int(word) // OPERAND_BANKS, int(lane)] = int(byte) & 0xFF
            write(words, lanes, data, user)

        buffer.write = record  # type: ignore[method-assign]


def rtl_writes(bench: Bench) -> dict[tuple[int, int, int], int]:
    written = {}
    banks = bench.get("patch__banks")
    for number in range(OPERAND_BANKS):
        bank = banks >> (number * BANK.size)
        enable, address, data = (unpack(BANK, bank, key) for key in ("enable", "address", "data"))
        for lane in range(ARCH.rows):
            if enable >> lane & 1:
                written[number, address, lane] = data >> (8 * lane) & 0xFF
    return written


@cocotb.test()
async def beside_its_twin(dut: Any) -> None:
    rng = np.random.default_rng(SEED)
    program = Program(rng)
    shared = program.shared
    twin, writes = GatherUnit(shared), Writes(shared)
    bench = Bench(dut)
    inputs = ["queue__head", "queue__valid", "queue__waits_met", "counts", "tiles__entry", "mask__bits"]
    bench.set(**dict.fromkeys([*inputs, "scratchpad__data"], 0))
    await bench.reset()
    reads: deque[int] = deque([0] * SCRATCHPAD_READ)
    entry = bits = asked_bits = done = started = written_bytes = at_once = 0
    last_done = start = -1
    while done < INSTRUCTIONS:
        cycle = shared.clock.cycle
        program.before(done)
        queue = shared.queues[Unit.GATHER]
        head = queue._items[0] if queue._items else None
        values = head_values(program.cases[head.row]) if head else int(rng.integers(0, 1 << 62))
        bench.set(
            queue__head=pack(HEAD, values),
            queue__valid=int(queue.head is not None),
            queue__waits_met=int(shared.completions.met(head)) if head else int(rng.integers(0, 2)),
            counts=pack(COUNTS, list(shared.tables._counts)),
            tiles__entry=entry,
            mask__bits=bits,
            scratchpad__data=reads.popleft(),
        )
        await bench.settle()

        writes.now = {}
        busy_before = twin._active
        twin.step()
        taken = twin._active is not None and twin._active is not busy_before
        retired = busy_before is not None and twin._active is None
        where = f"cycle {cycle}, instruction {(twin._active or busy_before or head)}, {ARCH.name}, seed {SEED}"
        fields = program.cases[(twin._active or busy_before or head).row].fields if (busy_before or head) else None
        assert bench.get("queue__take") == bench.get("progress__start") == bench.get("progress__run") == taken, where
        assert bench.get("progress__retire") == retired, f"retire: {where}: {fields}"
        assert not bench.get("error"), f"error: {where}: {fields}"
        found = rtl_writes(bench)
        assert found == writes.now, f"{where}: {fields}\nRTL  {found}\ntwin {writes.now}"
        if taken:
            start, expected_cycles = cycle, program.cases[twin._active.row].cycles
        if retired:
            assert cycle + 1 == start + expected_cycles + GATHER_LATENCY, f"{where}: {fields}"
        started, done = started + taken, done + retired
        written_bytes += len(found)
        at_once += taken and cycle == last_done
        last_done = cycle + 1 if retired else last_done

        address = bench.get("scratchpad__address")
        place = (address + np.arange(PORT_BYTES)) % ARCH.scratchpad_bytes
        valid = bench.get("scratchpad__valid")
        data = shared.scratchpad.bytes[place].tobytes() if valid else rng.bytes(PORT_BYTES)
        reads.append(int.from_bytes(data, "little"))
        table, position = bench.get("tiles__table"), bench.get("tiles__position")
        exists = table < ARCH.tables and position < ARCH.table_entries
        entry = int(shared.tables._entries[table, position]) if exists else int(rng.integers(0, 1 << 16))
        asked = bench.get("mask__bit") + np.arange(MASK_COLUMNS)
        mask = bench.get("mask__mask")
        found_bits = shared.masks.read(mask, asked, "bench") if mask < MASKS else rng.random(MASK_COLUMNS) < 0.5
        bits, asked_bits = asked_bits, int(found_bits @ (1 << np.arange(MASK_COLUMNS)))
        shared.clock.tick()
        await bench.step()
        assert cycle < 1_000_000
    assert started == INSTRUCTIONS and written_bytes > 0
    print(
        f"{ARCH.name} seed {SEED}: {INSTRUCTIONS} instructions, {at_once} of them in the cycle in which the one before "
        f"completes; {written_bytes} bytes, {cycle} cycles"
    )
