"""From a checkpoint to fitted cycles to a training on them, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from gatewright.cli.main import main
from gatewright.flow import write_ranges
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.training.cycle_model import load_fit
from tests.support.cifar import canonical_files, image_set, write_folder


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    path, spec = tmp_path_factory.mktemp("network") / "m.safetensors", NetworkSpec(8, "dual", 0.5)
    save_checkpoint(path, spec.build().eval(), spec)
    write_ranges(path, image_set(8, 3))
    return path


def test_fitted_cycles_are_the_simulators_and_a_training_lowers_them(checkpoint: Path, tmp_path: Path) -> None:
    cycles = tmp_path / "cycles.json"
    result = call("fit-cycles", checkpoint, "--arch", "ultra96", "--runs", "80", "--images", "2", "-o", cycles)
    assert result.exit_code == 0, result.stderr
    made = load_fit(cycles)
    assert (made.depth, made.gating, made.arch.name, made.drawn.runs, made.own.runs) == (8, "dual", "ultra96", 20, 2)
    assert made.drawn.mean_percent < 3 and made.drawn.correlation > 0.99, "of runs that were not fitted"
    assert f"{made.drawn.mean_percent:.2f}% (mean)" in result.stdout

    data = write_folder(tmp_path / "data", canonical_files())
    shares = {}
    for target in ("0.2", "1"):
        out = tmp_path / target
        options = ("--depth", "8", "--gating", "dual", "--target-density", "0.5", "--recipe", "distilled")
        more = ("--cycles", cycles, "--target-cycles", target, "--epochs", "8", "--seed", "4", "--evaluate-every", "8")
        result = call("train", "--data", data, "--out", out, "--initial", checkpoint, *options, *more)
        assert result.exit_code == 0, result.stderr
        shares[target] = json.loads(result.stdout.splitlines()[7])["cycle_ratio"]
    assert shares["0.2"] < shares["1"] - 0.05


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--target-cycles", "0.5"], "--target-cycles needs --cycles"),
        (["--cycles", "absent.json"], "cycles absent.json cannot be read"),
    ],
)
def test_what_a_training_on_cycles_needs(tmp_path: Path, more: list[str], message: str) -> None:
    data = write_folder(tmp_path / "data", canonical_files())
    gates = ("--depth", "8", "--gating", "dual", "--target-density", "0.5")
    result = call("train", "--data", data, "--out", tmp_path / "run", *gates, *more)
    assert result.exit_code == 2 and message in result.stderr


def test_too_few_runs_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    result = call("fit-cycles", checkpoint, "--runs", "7", "-o", tmp_path / "cycles.json")
    assert result.exit_code == 2 and "7 runs are too few to fit cycles to" in result.stderr
