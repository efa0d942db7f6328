"""EPILOGUE against its twin: every start, run and retirement, every write, in the same cycles."""

from __future__ import annotations

import os
from collections import deque
from typing import Any

import cocotb
import numpy as np
from amaranth.lib import data

from gatewright.contract.isa import WAITS, Unit
from gatewright.contract.timing import DECODE_LATENCY, EPILOGUE_LATENCY
from gatewright.hw.epilogue.stages import MASK
from gatewright.hw.layouts import COUNTS, WAIT, head_layout
from gatewright.hw.signatures import (
    ACCUMULATOR_READ,
    PARAMETER,
    PARAMETER_READ,
    SCRATCHPAD_READ,
    SCRATCHPAD_WRITE,
    table_counts,
)
from gatewright.sim.stepped.instruction import Instruction
from tests.hw.epilogue.epilogue_cases import FIRST_COUNT, Case, every_window, random_case
from tests.hw.epilogue.epilogue_twin import Outcome, run_twin
from tests.support.rtl import Bench, pack

READ_BYTES = 32


def head_bits(instruction: Instruction) -> int:
    """The head register: operands, and the place of the first pixel."""
    fields = instruction.fields
    edge = fields["tile"]
    tile, inside = divmod(fields["first_pixel"], edge * edge)
    tile_y, tile_x = divmod(fields["first_tile"] + tile, -(-fields["out_width"] // edge) or 1)
    place = {
        "tile": tile,
        "inside_y": inside // edge,
        "inside_x": inside % edge,
        "tile_y": tile_y,
        "tile_x": tile_x,
    }
    return pack(head_layout(Unit.EPILOGUE), {"operands": fields, "place": place})


def wait_bits(instruction: Instruction) -> int:
    waits = [{"unit": unit, "count": count} for unit, count in instruction.waits]
    return pack(data.ArrayLayout(WAIT, WAITS), waits)


class Surroundings:
    """The memories around the unit, and its queue."""

    def __init__(self, bench: Bench, case: Case) -> None:
        self.bench, self.case = bench, case
        self.outcome = Outcome()
        shared = case.shared
        self.bytes = bytearray(shared.scratchpad.bytes.tobytes())
        self.tables = shared.tables._entries.copy()
        self.lanes = [
            [int.from_bytes(entry.astype("<i4").tobytes(), "little") for entry in bank]
            for bank in shared.accumulators._entries
        ]
        self.parameters = [
            pack(PARAMETER, {"bias": bias, "multiplier": multiplier, "shift": shift})
            for bias, multiplier, shift in (shared.parameters.read(n, None) for n in range(len(shared.parameters._raw)))  # type: ignore[arg-type]
        ]
        self.counts = [FIRST_COUNT] * len(Unit)
        self.entries: deque[int] = deque([0] * ACCUMULATOR_READ)
        self.parameter: deque[int] = deque([0] * PARAMETER_READ)
        self.residual: deque[int] = deque([0] * SCRATCHPAD_READ)
        self.tile = self.filter = 0
        self.written: deque[tuple[int, bytes] | None] = deque([None] * SCRATCHPAD_WRITE)
        self.queue: deque[Instruction] = deque()
        self.head_since = 0
        self.begun: deque[list[int]] = deque()

    def inputs(self, now: int) -> None:
        """Drive what the unit sees in this cycle."""
        set_, case = self.bench.set, self.case
        head = self.queue[0] if self.queue else None
        valid = head is not None and now >= self.head_since + DECODE_LATENCY
        if head is not None and now == self.head_since:
            set_(queue__head=head_bits(head), waits=wait_bits(head))
        set_(queue__valid=int(valid), queue__waits_met=0)
        set_(completions__counts=pack(COUNTS, [count % (1 << 16) for count in self.counts]))
        set_(
            accumulators__lanes=self.entries.popleft(),
            parameters__parameter=self.parameter.popleft(),
            parameters__early=self.parameter[0],
            read__data=self.residual.popleft(),
            tiles__entry=self.tile,
            filters__entry=self.filter,
        )
        retires = case.completions.get(now, [])
        set_(completions__retires=sum(1 << unit for unit in retires))
        for unit in retires:
            self.counts[unit] += 1

    def outputs(self, now: int) -> None:
        """Serve the unit's requests of this cycle, and note what it did."""
        get, outcome = self.bench.get, self.outcome
        if get("accumulators__valid"):
            place = get("accumulators__bank"), get("accumulators__entry")
            outcome.entries.append(place)
            self.entries.append(self.lanes[place[0]][place[1]])
        else:
            self.entries.append(int(np.random.default_rng(now).integers(1 << 60)))
        self.parameter.append(self.parameters[get("parameters__entry") % len(self.parameters)])
        self.tile = self._lookup(get("tiles__table"), get("tiles__position"))
        self.filter = self._lookup(get("filters__table"), get("filters__position"))
        done = self.written.popleft()
        data_read = 0
        if get("read__valid"):
            assert not get("write__valid"), f"cycle {now}: reads and writes port B"
            address = get("read__address")
            outcome.reads.append(address)
            data_read = int.from_bytes(self.bytes[address : address + READ_BYTES], "little")
        self.residual.append(data_read)
        if done is not None:
            self.bytes[done[0] : done[0] + len(done[1])] = done[1]
        self.written.append(self._write(now))
        if get("mask__valid"):
            count, bits = get("mask__count"), get("mask__bits")
            # The twin writes in the last stage; the masks take the request earlier.
            last = now + EPILOGUE_LATENCY - MASK
            outcome.masks.append((last, get("mask__address"), tuple(bits >> i & 1 for i in range(count))))
        self._progress(now)

    def _write(self, now: int) -> tuple[int, bytes] | None:
        get = self.bench.get
        if not get("write__valid"):
            return None
        content = get("write__data").to_bytes(48, "little")[: get("write__count")]
        self.outcome.writes.append((now + SCRATCHPAD_WRITE, get("write__address"), content))
        return get("write__address"), content

    def _lookup(self, table: int, position: int) -> int:
        inside = table < self.tables.shape[0] and position < self.tables.shape[1]
        return int(self.tables[table, position]) if inside else 0xA5A5

    def _progress(self, now: int) -> None:
        get = self.bench.get
        started, ran, retired = get("progress__start"), get("progress__run"), get("progress__retire")
        assert started == get("queue__take")
        if started:
            self.queue.popleft()
            self.head_since = now + 1
            self.begun.append([now, -1])
        if ran:
            assert self.begun[-1][1] < 0, f"cycle {now}: runs twice"
            self.begun[-1][1] = now
        if retired:
            start, run = self.begun.popleft()
            self.outcome.times.append((start, run, now + 1))
            self.counts[Unit.EPILOGUE] += 1

    def push(self, instruction: Instruction, now: int) -> None:
        if not self.queue:
            self.head_since = now + 1
        self.queue.append(instruction)


def differences(kind: str, actual: list[Any], expected: list[Any]) -> str:
    """The first difference of two lists, in words; empty if there is none."""
    for index, (a, b) in enumerate(zip(actual, expected, strict=False)):
        if a != b:
            return f"{kind} {index}: {a}, expected {b}"
    return "" if len(actual) == len(expected) else f"{len(actual)} {kind}, expected {len(expected)}"


async def compare(dut: Any, case: Case) -> None:
    """Run a case on the block and on the twin, and compare."""
    bench = Bench(dut)
    around = Surroundings(bench, case)
    counts = pack(table_counts(case.arch), case.shared.tables._counts)
    expected = run_twin(case)
    await bench.reset()
    bench.set(counts=counts)
    pushes = deque(zip(case.pushes, case.instructions, strict=True))
    for now in range(case.instructions[-1].done + 2):
        around.inputs(now)
        await bench.settle()
        around.outputs(now)
        if pushes and pushes[0][0] == now:
            around.push(pushes.popleft()[1], now)
        await bench.step()
    found = [
        differences("times", around.outcome.times, expected.times),
        differences("writes", around.outcome.writes, expected.writes),
        differences("masks", around.outcome.masks, expected.masks),
        differences("reads", around.outcome.reads, expected.reads),
        differences("entries", around.outcome.entries, expected.entries),
    ]
    texts = [f"{i.row}: {i.start} {i.run} {i.done} {i.fields}" for i in case.instructions]
    assert not any(found), "\n".join([*filter(None, found), *texts])


@cocotb.test()
async def same_as_twin(dut: Any) -> None:
    name, length = os.environ["ARCH"], int(os.environ["LENGTH"])
    for seed in os.environ["SEEDS"].split():
        cocotb.log.info(f"{name} seed {seed}")
        await compare(dut, random_case(name, int(seed), length))


@cocotb.test()
async def no_window_waits(dut: Any) -> None:
    await compare(dut, every_window(os.environ["ARCH"]))
