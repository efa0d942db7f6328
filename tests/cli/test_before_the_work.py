"""What can be refused is refused before anything is loaded that takes long."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from gatewright import flow
from gatewright.cli import compare as compare_module
from gatewright.cli.main import main
from gatewright.driver.errors import WrongInputError
from gatewright.driver.inputs import read_inputs
from gatewright.models.checkpoints import checkpoint


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 2, (result.output, result.exception)
    return result


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("this is the work")

    monkeypatch.setattr(checkpoint, "_read_own", work)  # a name that no other module has taken
    monkeypatch.setattr(flow, "evaluate", work)
    monkeypatch.setattr(flow, "run_images", work)


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "resnet20"),
        ("train", "--data", "d", "--out", "o"),
        ("train-exits", "n", "--data", "d", "--out", "o"),
    ],
    ids=lambda command: command[0],
)
def test_the_machine(command: tuple[str, ...]) -> None:
    assert "no arch preset or file 'typo'" in run(*command, "--arch", "typo").output


def test_images_that_fill_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = SimpleNamespace(test_images=lambda _, count: range(count or 3))
    network = SimpleNamespace(spec=SimpleNamespace(data=data))
    monkeypatch.setattr(flow, "load_network", lambda _: network)
    monkeypatch.setattr("gatewright.models.accuracy.why_no_accuracy", lambda *_: "no labels")
    message = "3 images are fewer than the 4 of a program"
    assert message in run("throughput", "n", "--images", "3", "--together", "4").output
    assert message in run("report", "n", "--images", "3", "--together", "4", "--out", tmp_path / "r").output


def saved(array: Any) -> bytes:
    np.save(file := io.BytesIO(), array)
    return file.getvalue()


def archive() -> bytes:
    np.savez(file := io.BytesIO(), a=np.zeros((1, 4), np.int8))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (archive(), "an archive"),
        (saved(np.int8(1)), r"int8 \[\]"),
        (saved(np.zeros(4, np.int8)), r"int8 \[4\]"),
        (saved(np.zeros((1, 4), np.float32)), r"float32 \[1, 4\]"),
    ],
    ids=["archive", "scalar", "flat", "float"],
)
def test_inputs_are_an_array_of_int8(data: bytes, held: str, tmp_path: Path) -> None:
    (path := tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(WrongInputError, match=f"holds {held}; it must be"):
        read_inputs(path)
    with pytest.raises(compare_module.GatewrightError, match=f"--inputs: .*holds {held}; it must be"):
        compare_module._samples(path)
