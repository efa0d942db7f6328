from __future__ import annotations

from gatewright.contract.arch import PRESETS
from gatewright.hw.control.registers import Control
from tests.support.rtl import run_bench


def test_control_registers_runs_and_errors() -> None:
    run_bench(Control(PRESETS["4x4"], source_hash=0x1234_5678), "tests.hw.control.bench_control")
