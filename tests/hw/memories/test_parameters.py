from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.contract.arch import PRESETS
from gatewright.hw.memories.parameters import Parameters
from tests.support.rtl import run_bench


@pytest.mark.parametrize("entries", [128, 129, 200])
def test_beats_of_two_entries_at_any_entry(entries: int) -> None:
    seed = 5
    print(f"seed {seed}")
    arch = replace(PRESETS["4x4"], parameter_entries=entries)
    run_bench(Parameters(arch), "tests.hw.memories.bench_parameters", env={"ENTRIES": str(entries), "SEED": str(seed)})
