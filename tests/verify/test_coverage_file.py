"""The file of ``gatewright verify --coverage``: several processes add to it, and an interrupted one has."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.cli.verify_coverage import covered
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.verify.kit.coverage.coverage import Coverage, Programs

ARCH = PRESETS["4x4"]


def test_two_at_a_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "coverage.json"
    with covered(path, ARCH, ["layers"], range(10), None) as one:
        with covered(path, ARCH, ["layers"], range(10, 20), None) as two:
            assert one is not None and two is not None
            two.note("layers", range(10, 20))
        one.note("layers", range(10))
    assert sorted(Coverage.load(path).programs, key=lambda one: one.first) == [
        Programs("layers", 0, 10, 0),
        Programs("layers", 10, 10, 0),
    ]
    with covered(path, ARCH, ["layers"], range(20, 25), None) as three:
        assert three is not None
        three.note("layers", range(20, 25))
    assert Programs("layers", 10, 15, 0) in Coverage.load(path).programs
    with (
        pytest.raises(GatewrightError, match=f"coverage {path} already counts programs of kind layers"),
        covered(path, ARCH, ["layers"], range(24, 26), None),
    ):
        raise AssertionError("it ran")


def test_what_was_counted_before_an_interrupt_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "coverage.json"
    with pytest.raises(KeyboardInterrupt), covered(path, ARCH, ["layers"], range(10), None) as coverage:
        assert coverage is not None
        coverage.note("layers", range(3))
        raise KeyboardInterrupt
    assert Coverage.load(path).programs == [Programs("layers", 0, 3, 0)]
