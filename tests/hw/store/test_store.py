"""STORE's RTL against the stepped simulator: starts and completions cycle by cycle, bursts and bytes."""

from __future__ import annotations

import json

import pytest

from gatewright.contract.arch import ArchConfig, DramConfig
from gatewright.hw.store.unit import StoreUnit
from tests.support.rtl import run_bench

DRAMS = {
    "page": DramConfig(),
    "fast": DramConfig(latency=2, beats=1, per_cycles=1, burst_gap=0),
    "slow": DramConfig(latency=9, beats=2, per_cycles=5, burst_gap=3),
}


def run(dram: str, stalls: bool, seeds: str) -> None:
    arch = ArchConfig(name=dram, rows=4, columns=4, scratchpad_kib=64, dram=DRAMS[dram])
    env = {"ARCH": json.dumps(arch.to_dict()), "SEEDS": seeds, "COUNT": "16", "STALLS": str(int(stalls))}
    run_bench(StoreUnit(arch), "tests.hw.store.bench_store", env=env)


@pytest.mark.parametrize("dram", DRAMS)
def test_equals_the_simulator_cycle_by_cycle(dram: str) -> None:
    run(dram, False, "1,2,3")


def test_a_bus_that_stalls_changes_no_byte() -> None:
    run("page", True, "11,12")
