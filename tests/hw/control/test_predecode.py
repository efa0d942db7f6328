"""The predecoder: where first pixels lie."""

from __future__ import annotations

from gatewright.hw.control.predecode import Predecoder
from tests.support.rtl import run_bench


def test_places_every_pixel() -> None:
    print("seed 1")
    run_bench(Predecoder(), "tests.hw.control.bench_predecode", env={"SEED": "1"})
