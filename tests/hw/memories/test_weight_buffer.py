"""The weight buffer's RTL: bytes, addresses, latency, and a read that meets a write."""

from __future__ import annotations

import json

import pytest

from gatewright.contract.arch import ArchConfig
from gatewright.hw.memories.weight_buffer import WeightBuffer
from tests.support.rtl import run_bench


@pytest.mark.parametrize("rows", [4, 12])
def test_words_are_what_was_written(rows: int) -> None:
    arch = ArchConfig(name=f"{rows} rows", rows=rows, columns=4, weight_kib=2)
    run_bench(
        WeightBuffer(arch),
        "tests.hw.memories.bench_weight_buffer",
        env={"ARCH": json.dumps(arch.to_dict()), "SEEDS": "1,2"},
    )
