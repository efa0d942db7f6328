"""Runs of the bench with ``replay.sv`` in place of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gatewright.verify import runner
from gatewright.verify.expectations import Expectation
from gatewright.verify.lockstep import Bench, Verified, capacity_for, judge, write_jobs
from tests.verify.replay import Replay, faithful

REPLAY = (Path(__file__).parent / "replay.sv").read_text()

Bend = Callable[[Replay, Expectation], None]


def bench_for(expectations: Sequence[Expectation], stall: int = 0, bench: str = "bench") -> Bench:
    return Bench(REPLAY, expectations[0].program.arch, capacity_for(expectations), stall, bench)


def replayed(bench: Bench, expectations: Sequence[Expectation], job: Path, bend: Bend | None = None) -> list[Verified]:
    """Replay what is expected, the last program bent by ``bend``; judge all."""
    write_jobs(bench, expectations, job)
    for number, expectation in enumerate(expectations):
        replay = faithful(expectation)
        if bend is not None and number == len(expectations) - 1:
            bend(replay, expectation)
        replay.save(job / f"image_{number}")
    runner.run(bench.build(), job)
    return [judge(bench, expectation, job, number) for number, expectation in enumerate(expectations)]
