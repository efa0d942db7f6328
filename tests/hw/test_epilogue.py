from __future__ import annotations

import pytest

from gatewright.arch import PRESETS
from gatewright.hw.epilogue import EpilogueUnit
from tests.support.rtl import run_bench


@pytest.mark.parametrize("preset", ["4x4", "8x8", "12x20"])
def test_cycles_and_bytes_are_those_of_the_twin(preset: str) -> None:
    seeds = " ".join(str(seed) for seed in range(1, 13))
    print(f"{preset}: seeds {seeds}")
    env = {"PRESET": preset, "SEEDS": seeds, "LENGTH": "12"}
    run_bench(EpilogueUnit(PRESETS[preset]), "tests.hw.bench_epilogue", env=env)
