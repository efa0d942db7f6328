"""The RTL's LOAD against its twin: random loads, the DRAM model of the machine's page, or a bus that stalls."""

from __future__ import annotations

import json
import os
from collections import deque
from typing import Any

import cocotb
import numpy as np
from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.isa import Unit
from gatewright.hw.layouts import head_layout
from gatewright.hw.load.unit import LoadUnit
from gatewright.hw.signatures import POSITION_BITS, SCRATCHPAD_WRITE, TABLE_BITS
from gatewright.sim.stepped.control.queue import Clock, Queue
from tests.hw.load.load_cases import Case, Events, Twin, random_case
from tests.support.rtl import Bench, pack, unpack

BASE = 0x3000_0000
TABLE_ROW = 8


FLAGS = (
    "take",
    "start",
    "run",
    "retire",
    "booted",
    "ar_valid",
    "r_ready",
    "weights",
    "parameters",
    "instructions",
    "table",
    "scratchpad",
)


class WatchedLoad(wiring.Component):
    """LOAD with its one-bit outputs in one port (``flags``, as FLAGS) and its table request in another (``asked``)."""

    def __init__(self, arch: ArchConfig) -> None:
        self._unit = LoadUnit(arch)
        members = dict(self._unit.signature.members)
        super().__init__({**members, "flags": Out(len(FLAGS)), "asked": Out(TABLE_BITS + POSITION_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = self._unit
        for name, member in unit.signature.members.items():
            inner, outer = getattr(unit, name), getattr(self, name)
            if member.is_signature:
                wiring.connect(m, inner, wiring.flipped(outer))
            else:
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        banks = unit.weights.banks
        m.d.comb += [
            self.asked.eq(Cat(unit.rows.table, unit.rows.position)),
            self.flags.eq(
                Cat(
                    unit.queue.take,
                    unit.progress.start,
                    unit.progress.run,
                    unit.progress.retire,
                    unit.boot.done,
                    unit.bus.ar_valid,
                    unit.bus.r_ready,
                    Cat(lane.enable for bank in banks for lane in bank).any(),
                    unit.parameters.valid,
                    unit.instructions.valid,
                    unit.table.valid,
                    unit.scratchpad.valid,
                )
            ),
        ]
        return m


class ReadChannel:
    """What answers LOAD: in the exact model's cycles, or (``rng``) whenever it likes. In order, either way."""

    def __init__(self, case: Case, rng: np.random.Generator | None) -> None:
        self._case, self._rng = case, rng
        self._dram = case.arch.dram
        self._beats: deque[tuple[int, int, bool]] = deque()
        self._end = -self._dram.burst_gap
        self.ready = 1

    def address(self, cycle: int, address: int, beats: int) -> None:
        """A burst's address, of which LOAD let go in ``cycle``."""
        dram = self._dram
        begin = max(cycle + dram.latency, self._end + dram.burst_gap)
        if self._rng is not None:
            begin = cycle + 2 + int(self._rng.integers(4))
        self._end = begin + dram.burst_cycles(beats)
        for i in range(beats):
            self._beats.append((begin + dram.burst_cycles(i + 1) - 1, address + BEAT_BYTES * i, i == beats - 1))

    def step(self, cycle: int) -> tuple[int, bool] | None:
        """The beat on the bus: its data, and whether it is its burst's last."""
        if self._rng is not None:
            self.ready = int(self._rng.integers(3) == 0)
        if not self._beats or self._beats[0][0] > cycle or (self._rng is not None and self._rng.integers(4) == 0):
            return None
        _, address, last = self._beats.popleft()
        return int.from_bytes(self._case.beat(address).tobytes(), "little"), last


class Machine:
    """Everything around LOAD, and the events that it makes."""

    def __init__(self, bench: Bench, component: WatchedLoad, case: Case, rng: np.random.Generator | None) -> None:
        self.bench, self.case = bench, case
        self.events = Events()
        self.channel = ReadChannel(case, rng)
        self._clock = Clock()
        self._queue = Queue(self._clock, case.arch.queue_depth)
        self._given = 0
        self._done: list[int] = []
        self._entries = np.zeros((1 << TABLE_BITS, 1 << POSITION_BITS), np.int64)
        self._counts = [len(entries) for entries in case.tables]
        for table, entries in enumerate(case.tables):
            self._entries[table, : len(entries)] = entries
        self._asked = (0, 0)
        self._inputs: dict[str, int] = {}
        self._heads = [pack(head_layout(Unit.LOAD), {"operands": load.fields}) for load in case.loads]
        self._weights = component.weights.signature.members["banks"].shape
        self._table_counts = component.signature.members["counts"].shape
        self._instructions = [load.instruction(row) for row, load in enumerate(case.loads)]

    def _met(self, row: int) -> bool:
        load = self.case.loads[row]
        return self._clock.cycle >= load.release and (load.after < 0 or load.after < len(self._done))

    @property
    def beat_came(self) -> bool:
        """Whether the cycle before had a beat on the bus."""
        return bool(self._inputs.get("bus__r_valid"))

    async def cycle(self) -> None:
        """One clock cycle."""
        bench, case, clock = self.bench, self.case, self._clock
        now = clock.cycle
        if self._given < len(case.loads) and not self._queue.full and now >= case.loads[self._given].push:
            self._queue.push(self._instructions[self._given])
            self._given += 1
        items, head = self._queue._items, self._queue.head
        inputs: dict[str, int] = {"queue__valid": int(head is not None), "queue__waits_met": 0}
        if items:
            inputs["queue__head"] = self._heads[items[0].row]
            inputs["queue__waits_met"] = int(self._met(items[0].row))
        beat = self.channel.step(now)
        inputs |= {"bus__r_valid": int(beat is not None), "bus__ar_ready": self.channel.ready}
        if beat is not None:
            inputs |= {"bus__r_data": beat[0], "bus__r_last": int(beat[1])}
        inputs["boot__start"] = int(now == 0 and case.boot is not None)
        inputs["rows__entry"] = int(self._entries[self._asked])
        inputs["counts"] = pack(self._table_counts, self._counts)
        # A port costs time: those that change only.
        changed = {name: value for name, value in inputs.items() if self._inputs.get(name) != value}
        self._inputs |= changed
        bench.set(**changed)
        await bench.settle()
        self._look(now, head)
        await bench.step()
        clock.tick()

    def _look(self, now: int, head: Any) -> None:
        get, events = self.bench.get, self.events
        asked = get("asked")
        self._asked = (asked & ((1 << TABLE_BITS) - 1), asked >> TABLE_BITS)
        flags = get("flags")
        on = {name for bit, name in enumerate(FLAGS) if flags >> bit & 1}
        assert "r_ready" in on
        if "take" in on:
            assert head is not None, f"cycle {now}: taken while there is nothing"
            assert on >= {"start", "run"}
            events.starts.append(now)
            self._queue.pop()
        if "retire" in on:
            events.retires.append(now)
            self._clock.later(self._done.append, now)
        if "booted" in on and events.boot_done < 0:
            events.boot_done = now
        if "ar_valid" in on and self.channel.ready:
            address, beats = get("bus__ar_address"), get("bus__ar_length") + 1
            address = (address - BASE) % (1 << 32)
            assert address % BEAT_BYTES == 0 and address % 4096 + beats * BEAT_BYTES <= 4096
            events.addresses.append((now - 1, address, beats))
            self.channel.address(now - 1, address, beats)
        self._writes(now, on)

    def _writes(self, now: int, on: set[str]) -> None:
        get, writes = self.bench.get, self.events.writes
        if "weights" in on:
            writes.append((now, "weights", self._weight_bytes(get("weights__banks"))))
        if "parameters" in on:
            data = get("parameters__data").to_bytes(16, "little")
            writes.append((now, "parameters", get("parameters__entry"), data))
        if "instructions" in on:
            data = get("instructions__data").to_bytes(16, "little")
            writes.append((now, "instructions", get("instructions__entry"), get("instructions__part"), data))
        if "table" in on:
            self._table_write(now)
        if "scratchpad" in on:
            assert get("scratchpad__count") == BEAT_BYTES
            data = get("scratchpad__data").to_bytes(16, "little")
            writes.append((now + SCRATCHPAD_WRITE, "scratchpad", get("scratchpad__address"), data))

    def _weight_bytes(self, bits: int) -> list[tuple[int, int, int, int]]:
        found: list[tuple[int, int, int, int]] = []
        for bank in range(4):
            lanes = unpack(self._weights, bits, bank)
            inner = self._weights[bank].shape
            for lane in range(self.case.arch.rows):
                write, layout = unpack(inner, lanes, lane), inner[lane].shape
                if unpack(layout, write, "enable"):
                    found.append((bank, lane, unpack(layout, write, "address"), unpack(layout, write, "data")))
        return found

    def _table_write(self, now: int) -> None:
        get, writes, later = self.bench.get, self.events.writes, self._clock.later
        table, row, enable = get("table__table"), get("table__row"), get("table__enable")
        entries = get("table__entries")
        for i in range(TABLE_ROW):
            if enable >> i & 1:
                value = entries >> (16 * i) & 0xFFFF
                writes.append((now, "entry", table, TABLE_ROW * row + i, value))
                later(self._entries.__setitem__, (table, TABLE_ROW * row + i), value)
        if get("table__set_count"):
            writes.append((now, "count", table, get("table__count")))
            later(self._counts.__setitem__, table, get("table__count"))


def without_cycles(events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [event[1:] for event in events]


async def run_case(bench: Bench, component: WatchedLoad, case: Case, rng: np.random.Generator | None) -> Events:
    """The RTL's events for a case, from reset."""
    await bench.reset()
    machine = Machine(bench, component, case, rng)
    address, beats = case.boot or (0, 0)
    bench.set(base=BASE, boot__address=address, boot__beats=beats, halt=0, bus__r_response=0, bus__r_last=0)
    while len(machine.events.retires) < len(case.loads):
        assert machine._clock.cycle < 100_000, "the loads do not end"
        await machine.cycle()
    for _ in range(20):
        await machine.cycle()
    assert bench.get("quiet") == 1 and bench.get("error") == 0
    return machine.events


def compare(name: str, expected: list[Any], found: list[Any]) -> None:
    for i, (twin, rtl) in enumerate(zip(expected, found, strict=False)):
        assert twin == rtl, f"{name} {i}: the simulator has {twin}, the RTL {rtl}"
    assert len(expected) == len(found), f"{name}: the simulator has {len(expected)}, the RTL {len(found)}"


@cocotb.test()
async def random_loads(dut: Any) -> None:
    arch = ArchConfig.from_dict(json.loads(os.environ["ARCH"]))
    stalls = os.environ["STALLS"] == "1"
    component = WatchedLoad(arch)
    bench = Bench(dut)
    for seed in map(int, os.environ["SEEDS"].split(",")):
        print(f"seed {seed}, {arch.name}, rows {arch.rows}, stalls {stalls}")
        case = random_case(np.random.default_rng(seed), arch, int(os.environ["COUNT"]))
        expected = Twin(case).run()
        found = await run_case(bench, component, case, np.random.default_rng(seed + 1) if stalls else None)
        if stalls:
            # What lies in one memory comes in the order of the loads; between memories the order is the cycles'.
            compare("address", without_cycles(expected.addresses), without_cycles(found.addresses))
            for memory in ("scratchpad", "weights", "parameters", "instructions", "entry"):
                twin = [e for e in without_cycles(expected.writes) if e[0] == memory]
                compare(memory, twin, [e for e in without_cycles(found.writes) if e[0] == memory])
            assert len(found.starts) == len(found.retires) == len(case.loads)
            assert (found.boot_done >= 0) == (case.boot is not None)
        else:
            compare("start", expected.starts, found.starts)
            compare("address", expected.addresses, found.addresses)
            compare("retire", expected.retires, found.retires)
            compare("write", sorted(expected.writes), sorted(found.writes))
            assert expected.boot_done == found.boot_done
