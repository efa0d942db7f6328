"""Options of ``gatewright train`` that do not fit one another are refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gatewright.cli.training import train


@pytest.mark.parametrize("gating", ["none", "channel", "bas"])
def test_liveness_is_of_spatial_gates(gating: str, tmp_path: Path) -> None:
    density = [] if gating == "none" else ["--target-density", "0.5"]
    where = ["--data", str(tmp_path / "nothing"), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(train, [*where, "--gating", gating, *density, "--liveness", "0.1"])
    assert result.exit_code == 2 and "--liveness needs spatial gates" in result.output


@pytest.mark.parametrize("gating", ["none", "channel", "bas"])
def test_tiles_are_of_spatial_gates(gating: str, tmp_path: Path) -> None:
    density = [] if gating == "none" else ["--target-density", "0.5"]
    where = ["--data", str(tmp_path / "nothing"), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(train, [*where, "--gating", gating, *density, "--tile", "8"])
    assert result.exit_code == 2 and "--tile needs spatial gates" in result.output
