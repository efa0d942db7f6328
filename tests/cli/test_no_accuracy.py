"""What is printed of networks that were drawn, and of images without labels: no accuracy anywhere, and why."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from gatewright.cli.main import main
from gatewright.contract.errors import GatewrightError
from gatewright.flow import write_ranges
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.densities import densities
from gatewright.models.synthetic.noise import noise_images
from gatewright.models.synthetic.synthesis import synthesise
from gatewright.zoo_publication import Origin, publish

SYNTHETIC = "none: the network is synthetic: its weights were drawn, not trained"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = noise_images(32, 32, 1, CIFAR10)
    made = synthesise(NetworkSpec(8, "dual"), images, partial(densities, spatial=0.6, channel=0.6), 1)
    path = tmp_path_factory.mktemp("synthetic") / "model.safetensors"
    save_checkpoint(path, made.network, made.spec)
    write_ranges(path, images)
    return path


def test_evaluate_shows_no_accuracy_of_a_synthetic_network(synthetic: Path) -> None:
    result = call("evaluate", synthetic, "--images", "4", "--int8")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "network    synthetic-dgnet-resnet8" and f"top-1      {SYNTHETIC}" in lines
    assert "float32)" not in result.stdout and "(int8)" not in result.stdout
    figures = json.loads(call("evaluate", synthetic, "--images", "4", "--int8", "--json").stdout)
    assert not [key for key in figures if "top1" in key]
    assert figures["network"].startswith("synthetic-") and 0 < figures["mac_ratio"] < 1


def test_a_report_shows_no_accuracy_of_a_synthetic_network(synthetic: Path, tmp_path: Path) -> None:
    result = call("report", synthetic, "--images", "2", "--workers", "1", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "network    synthetic-dgnet-resnet8" and f"top-1      {SYNTHETIC}" in lines
    page = (tmp_path / "report.html").read_text()
    assert "<h1>synthetic-dgnet-resnet8 runs" in page and "no accuracy: the network is synthetic" in page
    assert "Top-1" not in page and "taken for" not in page and '<td class="off"' not in page
    contents = json.loads((tmp_path / "report.json").read_text())
    assert contents["summary"]["top1_float"] is contents["summary"]["top1_int8"] is None
    assert [image["label"] for image in contents["images"]] == [None, None]


def test_a_synthetic_network_is_not_published(synthetic: Path) -> None:
    with pytest.raises(GatewrightError, match="is synthetic; the zoo has trained networks only"):
        publish(synthetic, Path("unread"), Origin("", 0, ""))


def test_an_imagenet_network_on_photographs(tmp_path: Path) -> None:
    """Without labels there is none; with some in folders called by their numbers there is."""
    network = NetworkSpec(18, "dual", 0.5, classes=4, size=224, family_name="resnet-imagenet").build().eval()
    torch.nn.init.constant_(network.fc.bias[2:3], 200.0)
    torch.save(network.state_dict(), tmp_path / "model.pth")
    photographs = tmp_path / "photographs"
    for name in ("a.png", "b.png"):
        photographs.mkdir(exist_ok=True)
        pixels = np.random.default_rng(1).integers(0, 256, (256, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photographs / name)
    without = call("evaluate", tmp_path / "model.pth")
    assert without.exit_code == 2 and "no photographs for ImageNet networks ship with the package" in without.stderr
    result = call("evaluate", tmp_path / "model.pth", "--data", photographs)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("network    dgnet-resnet18\nimages     2 (photographs)\n")
    assert "top-1      none: the images have no labels\n" in result.stdout
    for name in ("a.png", "b.png"):
        (photographs / "2").mkdir(exist_ok=True)
        (photographs / name).rename(photographs / "2" / name)
    result = call("evaluate", tmp_path / "model.pth", "--data", photographs)
    assert "top-1      100.00% (float32)\n" in result.stdout
    refused = call("compile", tmp_path / "model.pth", "--data", photographs, "-o", tmp_path / "program.safetensors")
    assert refused.exit_code == 2 and "gatewright calibrate" in refused.stderr
    assert call("calibrate", tmp_path / "model.pth", "--data", photographs).exit_code == 0
    result = call("evaluate", tmp_path / "model.pth", "--data", photographs, "--int8")
    assert result.exit_code == 0, result.stderr
    assert "100.00% (int8)\n" in result.stdout and "flips" in result.stdout
