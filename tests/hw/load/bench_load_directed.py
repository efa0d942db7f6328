"""The RTL's LOAD where the simulator has nothing to compare with: halt, errors, a table loaded twice at once."""

from __future__ import annotations

import json
import os
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import NO_TABLE, Space
from gatewright.contract.timing import DECODE_LATENCY
from tests.hw.load.bench_load import BASE, Machine, WatchedLoad, run_case
from tests.hw.load.load_cases import Case, Load
from tests.support.rtl import Bench


def directed(arch: ArchConfig, *loads: dict[str, int]) -> Case:
    """A case of given loads, dispatched one behind the other."""
    image = np.random.default_rng(5).integers(0, 256, 1 << 16, np.uint8)
    base = {"row_table": NO_TABLE, "dram_address": 4096, "row_stride": 64, "rows": 1, "row_beats": 1}
    cases = [Load({**base, **fields}, push=i) for i, fields in enumerate(loads)]
    return Case(arch, image, cases, [[] for _ in range(arch.tables)], None)


@cocotb.test()
async def a_count_follows_the_loads_before_it(dut: Any) -> None:
    """A table is loaded with entries, and at once without: the second count stays, whatever is still coming."""
    arch = ArchConfig.from_dict(json.loads(os.environ["ARCH"]))
    full = {"space": Space.TABLE, "address": 1, "count": 16, "row_beats": 2}
    case = directed(arch, full, {"space": Space.TABLE, "address": 1, "count": 0, "rows": 0})
    events = await run_case(Bench(dut), WatchedLoad(arch), case, None)
    counts = [write for write in events.writes if write[1] == "count"]
    assert [write[2:] for write in counts] == [(1, 16), (1, 0)]
    # It must stand still for DECODE_LATENCY cycles before its load counts as complete.
    assert counts[1][0] + 1 + DECODE_LATENCY <= events.retires[1] + 1


@cocotb.test()
async def halt_sends_no_more_addresses(dut: Any) -> None:
    arch = ArchConfig.from_dict(json.loads(os.environ["ARCH"]))
    case = directed(arch, {"space": Space.SCRATCHPAD, "rows": 8, "row_beats": 2})
    bench = Bench(dut)
    await bench.reset()
    machine = Machine(bench, WatchedLoad(arch), case, None)
    bench.set(base=BASE, halt=0, bus__r_response=0, bus__r_last=0)
    assert bench.get("quiet") == 1
    while not machine.events.addresses:
        await machine.cycle()
    sent = len(machine.events.addresses) + bench.get("bus__ar_valid")
    bench.set(halt=1)
    assert bench.get("quiet") == 0
    for _ in range(arch.dram.latency + 50):
        await machine.cycle()
    assert len(machine.events.addresses) == sent < 8
    assert len(machine.events.writes) == 2 * sent, "the data of what was asked for is taken"
    assert bench.get("quiet") == 1 and machine.events.retires == []


@cocotb.test()
async def an_error_response_is_kept(dut: Any) -> None:
    arch = ArchConfig.from_dict(json.loads(os.environ["ARCH"]))
    case = directed(arch, *[{"space": Space.SCRATCHPAD, "row_beats": 3}] * 2)
    bench = Bench(dut)
    await bench.reset()
    machine = Machine(bench, WatchedLoad(arch), case, None)
    bench.set(base=BASE, halt=0, bus__r_response=2, bus__r_last=0)
    while not machine.beat_came:
        assert bench.get("error") == 0
        await machine.cycle()
    assert bench.get("error") == 1
    bench.set(bus__r_response=0)
    while len(machine.events.retires) < 2:
        await machine.cycle()
    assert bench.get("error") == 1
