"""The RTL's STORE against its twin and against the bytes: the DRAM model of the machine's page, or a stalling bus."""

from __future__ import annotations

import json
import os
from collections import deque
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.isa import Unit
from gatewright.contract.timing import STORE_LATENCY
from gatewright.hw.layouts import head_layout
from gatewright.hw.signatures import SCRATCHPAD_READ
from gatewright.sim.stepped.control.queue import Clock, Queue
from tests.hw.store.store_cases import IMAGE_BYTES, PAGE, Store, random_stores, run_twin
from tests.support.rtl import Bench, pack

BASE = 0x1000_0000
FIRST_BEAT = STORE_LATENCY - 2
"""From the start to the slot of the first beat."""


class WriteChannel:
    """What is behind STORE: accepts beats in the exact model's cycles, or (``rng``) whenever it likes."""

    def __init__(self, arch: ArchConfig, rng: np.random.Generator | None) -> None:
        self._dram, self._rng = arch.dram, rng
        self.image = np.zeros(IMAGE_BYTES, np.uint8)
        self.bursts: list[tuple[int, int]] = []
        self._open: deque[tuple[int, int]] = deque()
        """Bursts whose beats have not all come: (byte address, beats)."""
        self._slots: deque[int] = deque()
        """Cycles in which beats are accepted."""
        self._slot = 0
        self._beat = 0
        self._responses: deque[int] = deque()
        self.aw_ready = self.w_ready = 1
        self.aw_offered = False
        self._early: list[tuple[int, bool]] = []

    def begin(self, cycle: int) -> tuple[int, int, int]:
        """(aw_ready, w_ready, b_valid) in a cycle."""
        if self._rng is not None:
            self.aw_ready = int(self._rng.integers(3) == 0)
            self.w_ready = int(self._rng.integers(2))
        else:
            self.w_ready = int(bool(self._slots) and self._slots[0] == cycle)
        response = bool(self._responses) and self._responses[0] <= cycle
        if self._rng is not None and self._rng.integers(4):
            response = False
        if response:
            self._responses.popleft()
        return self.aw_ready, self.w_ready, int(response)

    def address(self, cycle: int, address: int, beats: int) -> None:
        """A burst's address is accepted."""
        dram = self._dram
        if not self._open and not self._responses:
            self._slot = max(self._slot, cycle - 1 + FIRST_BEAT)
        self.bursts.append((address, beats))
        self._open.append((address, beats))
        early, self._early = self._early, []
        for data, last in early:
            self._take(cycle, data, last)
        self._slots.extend(self._slot + dram.burst_cycles(i + 1) - 1 for i in range(beats))
        self._slot += dram.burst_cycles(beats) + dram.burst_gap

    def beat(self, cycle: int, data: int, last: bool) -> None:
        """A beat is accepted."""
        if self._rng is None:
            assert self._slots.popleft() == cycle
        if not self._open:
            # AXI: a beat may come before its address is accepted, and a master may not wait for that.
            assert self.aw_offered, f"cycle {cycle}: a beat without an address"
            self._early.append((data, last))
        else:
            self._take(cycle, data, last)

    def _take(self, cycle: int, data: int, last: bool) -> None:
        address, beats = self._open[0]
        at = address + BEAT_BYTES * self._beat
        self.image[at : at + BEAT_BYTES] = np.frombuffer(data.to_bytes(BEAT_BYTES, "little"), np.uint8)
        self._beat += 1
        assert last == (self._beat == beats), f"cycle {cycle}: beat {self._beat} of {beats}, last {last}"
        if last:
            self._beat = 0
            self._open.popleft()
            dram = self._dram
            self._responses.append(cycle + 1 + dram.burst_gap + dram.latency)


class Machine:
    """The queue, the scratchpad and the bus around STORE, cycle by cycle."""

    def __init__(
        self,
        bench: Bench,
        arch: ArchConfig,
        stores: list[Store],
        scratchpad: npt.NDArray[np.int8],
        rng: np.random.Generator | None,
    ) -> None:
        self.bench, self._stores, self._scratchpad = bench, stores, scratchpad
        self.channel = WriteChannel(arch, rng)
        self.clock = Clock()
        self._queue = Queue(self.clock, arch.queue_depth)
        self._given = 0
        self._instructions = [store.instruction(row) for row, store in enumerate(stores)]
        self._reads: deque[int | None] = deque([None] * SCRATCHPAD_READ)
        self.starts: list[int] = []
        self.retires: list[int] = []
        self.held: tuple[int, ...] | None = None

    async def cycle(self) -> None:
        bench, stores, now = self.bench, self._stores, self.clock.cycle
        if self._given < len(stores) and not self._queue.full and now >= stores[self._given].push:
            self._queue.push(self._instructions[self._given])
            self._given += 1
        items, head = self._queue._items, self._queue.head
        inputs = {"queue__valid": int(head is not None), "queue__waits_met": 0}
        if items:
            inputs["queue__head"] = pack(head_layout(Unit.STORE), {"operands": stores[items[0].row].fields})
            inputs["queue__waits_met"] = int(now >= stores[items[0].row].release)
        aw_ready, w_ready, response = self.channel.begin(now)
        read = self._reads.popleft()
        # Whatever a memory shows when nothing was asked of it.
        data = (0xA5 << 56) + now if read is None else int.from_bytes(self._scratchpad[read : read + 16], "little")
        bench.set(**inputs, bus__aw_ready=aw_ready, bus__w_ready=w_ready, bus__b_valid=response, scratchpad__data=data)
        await bench.settle()
        self._look(now)
        await bench.step()
        self.clock.tick()

    def _look(self, now: int) -> None:
        get = self.bench.get
        if get("queue__take"):
            assert get("progress__start") and get("progress__run")
            self.starts.append(now)
            self._queue.pop()
        if get("progress__retire"):
            self.retires.append(now)
        self._reads.append(get("scratchpad__address") if get("scratchpad__valid") else None)
        assert get("bus__b_ready") == 1
        self.channel.aw_offered = bool(get("bus__aw_valid"))
        if self.channel.aw_offered and self.channel.aw_ready:
            address = (get("bus__aw_address") - BASE) % (1 << 32)
            self.channel.address(now, address, get("bus__aw_length") + 1)
        beat = (get("bus__w_data"), get("bus__w_last")) if get("bus__w_valid") else None
        # AXI: what is offered stays until it is accepted.
        assert self.held is None or beat == self.held
        self.held = None
        if self.channel.w_ready:
            if beat is not None:
                self.channel.beat(now, beat[0], bool(beat[1]))
            else:
                assert self.channel._rng is not None, f"cycle {now}: no beat in its slot"
        else:
            self.held = beat


@cocotb.test()
async def random_stores_leave_their_bytes(dut: Any) -> None:
    arch = ArchConfig.from_dict(json.loads(os.environ["ARCH"]))
    stalls = os.environ["STALLS"] == "1"
    bench = Bench(dut)
    for seed in map(int, os.environ["SEEDS"].split(",")):
        print(f"seed {seed}, {arch.name}, stalls {stalls}")
        rng = np.random.default_rng(seed)
        stores = random_stores(rng, arch, int(os.environ["COUNT"]))
        scratchpad = rng.integers(-128, 128, arch.scratchpad_bytes, np.int8)
        expected = run_twin(arch, stores, scratchpad)
        await bench.reset()
        machine = Machine(bench, arch, stores, scratchpad, rng if stalls else None)
        bench.set(base=BASE, halt=0, bus__b_response=0)
        while len(machine.retires) < len(stores):
            assert machine.clock.cycle < 200_000, "the stores do not end"
            await machine.cycle()
        assert bench.get("quiet") == 1 and bench.get("error") == 0
        assert machine.channel.bursts == [burst for store in stores for burst in store.bursts()]
        assert np.array_equal(machine.channel.image, expected.image)
        assert len(machine.starts) == len(stores)
        if not stalls:
            assert machine.starts == expected.starts
            assert machine.retires == expected.retires


@cocotb.test()
async def halt_sends_no_more_addresses(dut: Any) -> None:
    """The beats of the bursts that were sent come, those of others do not; then it is quiet."""
    arch = ArchConfig.from_dict(json.loads(os.environ["ARCH"]))
    bench = Bench(dut)
    await bench.reset()
    store = Store(PAGE - 3 * BEAT_BYTES, 64, 40, 0, 0)
    scratchpad = np.arange(arch.scratchpad_bytes).astype(np.int8)
    machine = Machine(bench, arch, [store], scratchpad, None)
    bench.set(base=BASE, halt=0, bus__b_response=0)
    while not machine.starts:
        await machine.cycle()
    bench.set(halt=1)
    quiet = []
    for _ in range(300 + arch.dram.latency):
        await machine.cycle()
        quiet.append(bench.get("quiet"))
    assert machine.channel.bursts == store.bursts()[:1]
    assert not quiet[0] and quiet[-1], "quiet once the burst is answered, and not before"
    assert machine.retires == []
    end = PAGE
    assert np.array_equal(machine.channel.image[end - 48 : end].view(np.int8), scratchpad[64 : 64 + 48])
    assert not machine.channel.image[end:].any()


@cocotb.test()
async def an_error_response_is_kept(dut: Any) -> None:
    arch = ArchConfig.from_dict(json.loads(os.environ["ARCH"]))
    bench = Bench(dut)
    await bench.reset()
    stores = [Store(PAGE, 0, 2, 0, 0), Store(PAGE, 0, 2, 1, 0)]
    machine = Machine(bench, arch, stores, np.zeros(arch.scratchpad_bytes, np.int8), None)
    bench.set(base=BASE, halt=0, bus__b_response=2)
    errors = []
    while len(machine.retires) < 1:
        await machine.cycle()
        errors.append(bench.get("error"))
    bench.set(bus__b_response=0)
    while len(machine.retires) < 2:
        await machine.cycle()
        assert bench.get("error") == 1
    assert errors[0] == 0
