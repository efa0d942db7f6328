"""The scratchpad's RTL: any bytes, any address, both ports, any users of port B."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.contract.arch import load_arch
from gatewright.hw.memories.scratchpad import Scratchpad
from tests.hw.memories.scratchpad_users import MORE_READERS, MORE_WRITERS, READERS, WRITERS, asked, bench_environment
from tests.support.rtl import run_bench


@pytest.mark.parametrize(("kib", "seed"), [(4, 1), (6, 2), (32, 3)])
def test_random_requests(kib: int, seed: int) -> None:
    _run(READERS, WRITERS, kib, seed)


def test_random_requests_of_more_users_than_the_machine_has() -> None:
    _run(MORE_READERS, MORE_WRITERS, 4, 4)


def _run(readers: dict[str, int], writers: dict[str, int], kib: int, seed: int) -> None:
    print(f"{kib} KiB, seed {seed}")
    scratchpad = Scratchpad(replace(load_arch("ultra96"), scratchpad_kib=kib), asked(readers, writers))
    env = bench_environment(readers, writers, KIB=kib, SEED=seed, CYCLES=4000)
    run_bench(scratchpad, "tests.hw.memories.bench_scratchpad", env=env)
