"""INDEX: its twin's table writes and completions, cycle by cycle."""

from __future__ import annotations

import pytest

from gatewright.hw.index.unit import IndexUnit
from tests.hw.instructions import ARCH
from tests.support.rtl import run_bench


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_index_is_its_twins(seed: int) -> None:
    print(f"seed {seed}")
    run_bench(IndexUnit(ARCH), "tests.hw.index.bench_index", env={"SEED": str(seed)})
