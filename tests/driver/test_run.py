"""``gatewright run``: what it prints, and what it says where a machine is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatewright.cli.main import main
from gatewright.machines.backends import PYNQ_VARIABLE
from tests.driver.tiny import tiny_file


def test_a_program_on_its_own_image(tmp_path: Path) -> None:
    path = tiny_file(tmp_path).path
    done = CliRunner().invoke(main, ["run", str(path), "--counters", str(tmp_path / "counters")])
    assert done.exit_code == 0, done.output
    assert "busy ARRAY" in done.output and "different" in done.output
    counters = json.loads((tmp_path / "counters" / "simulator.json").read_text())
    assert counters["format"] == "gatewright-counters-1" and counters["starts"][0]["cycles"] > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "hls"], "there is no ap_int.h"),
        (["--backend", "pynq"], "make pynq-env"),
        (["--images", "0:4"], "go together"),
    ],
)
def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str) -> None:
    monkeypatch.setenv("AP_TYPES", str(tmp_path))
    monkeypatch.setenv(PYNQ_VARIABLE, str(tmp_path / "no-python"))
    done = CliRunner().invoke(main, ["run", str(tiny_file(tmp_path).path), *options])
    assert done.exit_code == 2 and message in done.output
