"""A user's own network as FILE.pt2: calibrated, compiled and reported by the commands; and what is wrong with files."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from gatewright import flow
from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.models.checkpoints.checkpoint import load_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.zoo.catalogue import find, sha256
from gatewright.own_network import calibrate_own, calibration_path
from tests.support.exported import export, gated, write_arrays
from tests.support.pyramid import Pyramid

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your-own-network.md"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert (result.exit_code == 2 and result.exception is None) or isinstance(result.exception, SystemExit), result
    assert "Traceback" not in result.stderr
    return result.stderr


def assert_equal(left: Program, right: Program) -> None:
    """Every field; not the files' bytes, for safetensors orders a header's keys at random."""
    for field in fields(Program):
        one, other = getattr(left, field.name), getattr(right, field.name)
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other, field.name


def test_the_page_runs_from_a_module_to_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block of Python and the first block of commands of docs/your-own-network.md, as they stand."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    code = next(text for language, text in blocks if language == "python")
    commands = next(text for language, text in blocks if language == "sh").splitlines()
    assert len(code.splitlines()) + len(commands) < 40
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    for command in commands:
        result = call(*command.removeprefix("gatewright ").split())
        assert result.exit_code == 0, result.stderr
    assert "network    skipper\n" in result.stdout and "top-1      none: the images have no labels\n" in result.stdout
    contents = json.loads(Path("report/report.json").read_text())
    assert contents["network"]["name"] == "skipper" and contents["network"]["checkpoint"] == "skipper.pt2"
    assert contents["summary"]["top1_int8"] is None
    assert {gate["kind"] for gate in contents["gates"]} == {"spatial", "channel"}
    assert all(0 < gate["density_mean"] < 1 for gate in contents["gates"]), "a gate that decides nothing shows nothing"


def test_an_exported_resnet20_compiles_to_the_program_of_its_name(tmp_path: Path) -> None:
    name = "dgnet-resnet20-0.4"
    network, spec = load_checkpoint(find(name))
    path = export(network, tmp_path / "own.pt2", torch.zeros(1, *spec.input_shape))
    ranges = json.loads(flow.ranges_path(find(name)).read_text())
    calibration = {
        "format": "gatewright-calibration-1",  # which did not say how photographs are scaled
        "program": sha256(path),
        "images": 512,
        "ranges": ranges,
        "means": {},
    }
    calibration |= {"mean": CIFAR10.mean, "std": CIFAR10.std}
    calibration_path(path).write_text(json.dumps(calibration))
    image = CIFAR10.sample().head(1)
    arch, made = load_arch("ultra96"), []
    for source in (name, path, path):
        loaded = flow.load_network(source)
        evaluation = flow.evaluate(loaded, image)
        made.append(Compiler(loaded.graph, arch).compile(evaluation.decisions(0), evaluation.inputs[0]))
    assert_equal(made[0], made[1])
    assert_equal(made[1], made[2])


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_command_that_takes_a_network_takes_a_program(tmp_path: Path, channels: int) -> None:
    path = export(gated(channels), tmp_path / "own.pt2", torch.zeros(1, channels, 8, 8))
    images = write_arrays(tmp_path / "images", 20, channels)
    assert "own.pt2 has no ranges" in refused("compile", path, "--data", images, "-o", tmp_path / "p.safetensors")
    result = call("calibrate", path, "--images", images, "--mean", "0.5", "--std", "0.25")
    assert result.exit_code == 0, result.stderr
    stored = json.loads(calibration_path(path).read_text())
    assert stored["images"] == 20 and stored["mean"] == [0.5] * channels and stored["program"] == sha256(path)
    for file in ("one", "two"):
        result = call("compile", path, "--data", images, "--image", "3", "-o", tmp_path / file)
        assert result.exit_code == 0, result.stderr
    assert_equal(Program.load(tmp_path / "one"), Program.load(tmp_path / "two"))
    assert call("simulate", tmp_path / "one", "--stepped").exit_code == 0
    assert call("plan", path).stdout.startswith("own on ultra96, every gate on\n")
    if channels != 3:
        return
    result = call("report", path, "--data", images, "--images", "2", "--workers", "1", "--out", tmp_path / "report")
    assert result.exit_code == 0 and "top-1      none: the images have no labels\n" in result.stdout, result.stderr
    assert "no images for your own network ship with the package" in refused("compile", path, "-o", tmp_path / "x")
    assert "is an exported program, not a checkpoint" in refused("evaluate", path)


def test_a_program_that_returns_maps_alone_compiles(tmp_path: Path) -> None:
    """Such as a detector: its file is the exported program with its ranges."""
    torch.manual_seed(3)
    path = export(Pyramid().eval(), tmp_path / "maps.pt2", torch.zeros(1, 3, 16, 16))
    images = write_arrays(tmp_path / "images", 16, size=16)
    assert call("calibrate", path, "--images", images).exit_code == 0
    result = call("compile", path, "--data", images, "-o", tmp_path / "p.safetensors")
    assert result.exit_code == 0, result.stderr
    outputs = Program.load(tmp_path / "p.safetensors").outputs
    assert {output.kind for output in outputs} == {"map"}
    assert f"map          {outputs[0].name}: " in call("simulate", tmp_path / "p.safetensors").output


def test_with_labels_there_is_an_accuracy(tmp_path: Path) -> None:
    network = gated()
    torch.nn.init.constant_(network.head.bias[1:2], 100.0)
    path = export(network, tmp_path / "own.pt2")
    write_arrays(tmp_path / "images", 16)
    calibrate_own(path, tmp_path / "images", 16)
    (tmp_path / "labelled").mkdir()
    write_arrays(tmp_path / "labelled" / "1", 2)
    result = call(
        "report", path, "--data", tmp_path / "labelled", "--images", "2", "--workers", "1", "--out", tmp_path / "r"
    )
    assert "top-1      100.00% float, 100.00% int8\n" in result.stdout, result.stderr


def test_calibrations_that_do_not_belong_or_are_damaged(tmp_path: Path) -> None:
    path = export(gated(), tmp_path / "own.pt2")
    images = write_arrays(tmp_path / "images", 16)
    calibrate_own(path, images, 512)
    flow.load_network(path)
    whole = json.loads(calibration_path(path).read_text())
    edits: dict[str, tuple[object, str]] = {
        "program": ("0" * 64, "belongs to another program: own.pt2 was exported again"),
        "images": (15, "images = 15 must be greater than or equal to 16"),
        "mean": ([0.5], "has 1 means and 3 deviations"),
        "std": ([0.0, 1.0, 1.0], "std.0 = 0.0 must be greater"),
        "format": ("gatewright-calibration-9", "newer Gatewright: its format is gatewright-calibration-9"),
        "ranges": ({}, "tensor input has no usable range"),
    }
    for key, (value, reason) in edits.items():
        calibration_path(path).write_text(json.dumps({**whole, key: value}))
        with pytest.raises(GatewrightError, match=re.escape(reason)) as caught:
            flow.load_network(path)
        assert "calibrate" in str(caught.value)
    calibration_path(path).write_text("{")
    with pytest.raises(GatewrightError, match="is damaged is not JSON"):
        flow.load_network(path)


def test_images_that_calibration_refuses(tmp_path: Path) -> None:
    path = export(gated(), tmp_path / "own.pt2")
    few = write_arrays(tmp_path / "few", 15)
    assert "holds 15 images; calibration needs at least 16" in refused("calibrate", path, "--images", few)
    assert "no folder of photographs" in refused("calibrate", path, "--images", tmp_path / "missing")
    assert "2 numbers for mean; the network's images have 3" in refused(
        "calibrate", path, "--images", few, "--mean", "1,2"
    )
    assert "std is positive" in refused("calibrate", path, "--images", few, "--std", "0")
    assert "is not a number" in refused("calibrate", path, "--images", few, "--mean", "a")
    assert "of an exported program" in refused("calibrate", find("resnet20"), "--images", few, "--mean", "0")
    images = write_arrays(tmp_path / "images", 16)
    np.save(images / "000.npy", np.zeros((8, 8, 3), np.float32))
    assert "000.npy is float32 [8, 8, 3]; the network takes uint8 [8, 8, 3]" in refused(
        "calibrate", path, "--images", images
    )
    np.save(images / "000.npy", np.array([{}]), allow_pickle=True)
    assert "000.npy is not an array that can be read" in refused("calibrate", path, "--images", images)
    (images / "000.npy").rename(images / "000.png")
    assert "000.png is not a photograph that can be read" in refused("calibrate", path, "--images", images)
