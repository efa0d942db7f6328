from __future__ import annotations

import pytest

from gatewright.hw.epilogue.unit import EpilogueUnit
from tests.hw.epilogue.epilogue_cases import ARCHS
from tests.support.rtl import run_bench


@pytest.mark.parametrize(("arch", "first"), [("4x4", 100), ("8x8", 200), ("12x20", 300), ("8x32", 400)])
def test_cycles_and_bytes_are_those_of_the_twin(arch: str, first: int) -> None:
    seeds = " ".join(str(seed) for seed in range(first, first + 12))
    print(f"{arch}: seeds {seeds}")
    env = {"ARCH": arch, "SEEDS": seeds, "LENGTH": "12"}
    run_bench(EpilogueUnit(ARCHS[arch]), "tests.hw.epilogue.bench_epilogue", env=env)
