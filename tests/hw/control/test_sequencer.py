"""The sequencer: its twin's cycles, and a stop with the right code at everything illegal."""

from __future__ import annotations

import pytest

from gatewright.hw.control.sequencer import Sequencer
from tests.hw.instructions import ARCH
from tests.support.rtl import run_bench


@pytest.mark.parametrize("seed", range(1, 5))
def test_dispatches_in_its_twins_cycles(seed: int) -> None:
    print(f"seed {seed}")
    run_bench(Sequencer(ARCH), "tests.hw.control.bench_sequencer", env={"SEED": str(seed)})


@pytest.mark.parametrize("seed", [1, 2])
def test_stops_at_what_is_illegal(seed: int) -> None:
    print(f"seed {seed}")
    run_bench(Sequencer(ARCH), "tests.hw.control.bench_sequencer_errors", env={"SEED": str(seed)})
