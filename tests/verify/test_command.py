"""``gatewright verify``: its figures, its report of a difference, and its exit codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatewright.cli.main import verify as command
from gatewright.one_start import OneStart
from gatewright.verify import lockstep, runner
from gatewright.verify.expectations import Expectation, expect
from gatewright.verify.lockstep import Bench, Verified
from tests.verify.case import copy_program

Verify = Callable[..., list[Verified]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Bench, Sequence[Expectation], int]]:
    """Calls of the comparison; programs are small ones, and nothing is built. Program 5 differs."""
    calls: list[tuple[Bench, Sequence[Expectation], int]] = []

    def verify(
        bench: Bench, expectations: Sequence[Expectation], *, waves: Path | None, first: int = 0
    ) -> list[Verified]:
        calls.append((bench, expectations, first))
        results = []
        for number, expectation in enumerate(expectations, start=first):
            difference = "first difference in cycle 7: start of LOAD" if number == 5 else None
            results.append(Verified(number, 5, 17, 102, 76, 1000, expectation.cycles, 0.5, difference, None, waves))
            if difference:
                break
        return results

    monkeypatch.setattr(lockstep, "verify", verify)
    monkeypatch.setattr(runner, "build", lambda *_, **__: runner.Build(tmp_path, "bench", 30.0))
    monkeypatch.setattr(command, "_programs", lambda _, __, count, *___: [copy_program(i) for i in range(count)])
    (tmp_path / "machine.v").write_text("module gatewright(); endmodule")
    return calls


def _run(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command.verify, ["--verilog", str(tmp_path / "machine.v"), *arguments])
    return result.exit_code, result.output


def test_equal_programs_pass(asked: list[tuple[Bench, Sequence[Expectation], int]], tmp_path: Path) -> None:
    code, output = _run(tmp_path, "--images", "3")
    assert code == 0 and "PASS         cycles and bytes" in output
    for line in ("images       3 without", "instructions 15, 51 events", "writes       306", "cycles       1,986"):
        assert line in output
    ((bench, expectations, first),) = asked
    assert bench.exact and first == 0 and all(e.writes is not None for e in expectations)


def test_many_images_go_in_batches_and_stop_at_a_difference(
    asked: list[tuple[Bench, Sequence[Expectation], int]], tmp_path: Path
) -> None:
    code, output = _run(tmp_path, "--images", "10")
    assert code == 1 and "DIFFERENCE" in output and "image 5: first difference in cycle 7" in output
    assert [(len(expectations), first) for _, expectations, first in asked] == [(4, 0), (4, 4)]
    assert all(e.writes is None for _, expectations, _ in asked for e in expectations)


def test_several_images_in_one_start_are_one_run(
    asked: list[tuple[Bench, Sequence[Expectation], int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expectation = expect(copy_program(0), writes=False)
    start = OneStart((300, 362), ({}, {}), (0, 0))
    monkeypatch.setattr(command, "_in_one_start", lambda *_: (start, expectation))
    code, output = _run(tmp_path, "--live", "--one-start", "--images", "2")
    assert code == 0 and "images       2 without a difference in one start" in output
    assert "an image     331.0 cycles (mean), p5 300, p50 300, p95 362" in output
    ((_, expectations, first),) = asked
    assert list(expectations) == [expectation] and first == 0
    code, _ = _run(tmp_path, "--one-start")
    assert code == 1, "of a program for one image"


def test_options_reach_the_comparison(asked: list[tuple[Bench, Sequence[Expectation], int]], tmp_path: Path) -> None:
    code, output = _run(tmp_path, "--no-writes", "--stall-seed", "9", "--no-waves")
    assert code == 0 and "order and bytes" in output and "seed 9" in output
    ((bench, (expectation,), _),) = asked
    assert (bench.stall, bench.exact, expectation.writes) == (9, False, None)
