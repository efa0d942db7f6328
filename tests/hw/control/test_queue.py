"""Queues, completion counts, images: their twins' behaviour in every cycle."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.contract.isa import Unit
from gatewright.hw.control.completions import Completions
from gatewright.hw.control.images import Images
from gatewright.hw.control.queue import InstructionQueue
from tests.hw.instructions import ARCH
from tests.support.rtl import run_bench


@pytest.mark.parametrize(("unit", "depth", "seed"), [("EPILOGUE", 3, 1), ("STORE", 2, 2), ("GATHER", 9, 3)])
def test_a_queue_is_its_twin(unit: str, depth: int, seed: int) -> None:
    """With and without a place; depths at, above and below powers of two."""
    print(f"seed {seed}")
    queue = InstructionQueue(Unit[unit], replace(ARCH, queue_depth=depth))
    run_bench(queue, "tests.hw.control.bench_queue", env={"UNIT": unit, "DEPTH": str(depth), "SEED": str(seed)})


def test_completions_count() -> None:
    print("seed 1")
    run_bench(Completions(), "tests.hw.control.bench_completions", env={"SEED": "1"})


def test_images_follow_their_rings() -> None:
    print("seed 1")
    run_bench(Images(), "tests.hw.control.bench_images", env={"SEED": "1"})
