"""LOAD's RTL against the stepped simulator: starts, addresses, writes and completions, cycle by cycle."""

from __future__ import annotations

import json

import pytest

from gatewright.contract.arch import ArchConfig, DramConfig
from tests.hw.load.bench_load import WatchedLoad
from tests.support.rtl import run_bench

DRAMS = {
    "page": DramConfig(),
    "fast": DramConfig(latency=2, beats=1, per_cycles=1, burst_gap=0, outstanding=3),
    "narrow": DramConfig(latency=9, beats=2, per_cycles=5, burst_gap=3, outstanding=1),
}


def machine(rows: int, dram: str) -> ArchConfig:
    return ArchConfig(name=f"{rows} rows, {dram}", rows=rows, columns=4, dram=DRAMS[dram])


def run(rows: int, dram: str, stalls: bool, seeds: range) -> None:
    arch = machine(rows, dram)
    env = {
        "ARCH": json.dumps(arch.to_dict()),
        "SEEDS": ",".join(map(str, seeds)),
        "COUNT": "60",
        "STALLS": str(int(stalls)),
    }
    run_bench(WatchedLoad(arch), "tests.hw.load.bench_load", env=env)


@pytest.mark.parametrize(("rows", "dram"), [(4, "fast"), (8, "page"), (12, "narrow"), (16, "page"), (5, "fast")])
def test_equals_the_simulator_cycle_by_cycle(rows: int, dram: str) -> None:
    run(rows, dram, False, range(1, 6))


@pytest.mark.parametrize(("rows", "dram"), [(4, "fast"), (16, "page")])
def test_a_bus_that_stalls_changes_no_byte(rows: int, dram: str) -> None:
    run(rows, dram, True, range(11, 15))


@pytest.mark.parametrize(("rows", "dram"), [(4, "fast"), (16, "page")])
def test_halt_errors_and_counts(rows: int, dram: str) -> None:
    arch = machine(rows, dram)
    run_bench(WatchedLoad(arch), "tests.hw.load.bench_load_directed", env={"ARCH": json.dumps(arch.to_dict())})
