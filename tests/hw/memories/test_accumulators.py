from __future__ import annotations

import pytest

from gatewright.contract.arch import PRESETS
from gatewright.hw.memories.accumulators import Accumulators
from tests.support.rtl import run_bench


@pytest.mark.parametrize("preset", ["4x4", "12x20"])
def test_both_units_read_what_was_written(preset: str) -> None:
    seed = 77
    print(f"seed {seed}")
    env = {"PRESET": preset, "SEED": str(seed)}
    run_bench(Accumulators(PRESETS[preset]), "tests.hw.memories.bench_accumulators", env=env)
