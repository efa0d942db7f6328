from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from click.testing import CliRunner, Result

from gatewright.cli.main import main
from gatewright.cli.training import GATINGS
from gatewright.flow import write_ranges
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10, load_cifar10, load_sample
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from gatewright.models.zoo import catalogue as zoo
from tests.models.zoo.test_catalogue import make_zoo
from tests.support import public_dgnet
from tests.support.cifar import canonical_files, write_folder


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", canonical_files())


def options(data: Path, out: Path, *more: str) -> tuple[str | Path, ...]:
    return ("train", "--data", data, "--out", out, "--depth", "8", "--epochs", "2", *more)


def test_choices_are_those_of_the_models() -> None:
    assert get_args(Gating) == GATINGS


def test_train_then_resume_then_evaluate(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    gated = options(data, out, "--gating", "dual", "--target-density", "0.5", "--learning-rate", "0.01")
    result = call(*gated)
    assert result.exit_code == 0, result.stderr
    *epochs, last = result.stdout.splitlines()
    assert [json.loads(line)["epoch"] for line in epochs] == [1, 2]
    assert last == f"dgnet-resnet8-0.5: {out / 'model.safetensors'}"
    assert load_checkpoint(out / "model.safetensors")[1] == NetworkSpec(8, "dual", 0.5)

    refused = call(*gated)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("gatewright: error: ") and "continue it with --resume" in refused.stderr
    assert call(*gated, "--resume").exit_code == 0

    result = call("evaluate", out / "model.safetensors", "--data", data)
    assert result.exit_code == 0
    assert "dgnet-resnet8-0.5" in result.stdout and "4 (CIFAR-10 test set)" in result.stdout
    figures = json.loads(call("evaluate", out / "model.safetensors", "--data", data, "--json").stdout)
    spatial, channel = (100 * figures[f"{kind}_dependent"] for kind in ("spatial", "channel"))
    assert f"depend     {spatial:.1f}% of spatial, {channel:.1f}% of channel decisions are on" in result.stdout
    assert f"closed     {figures['blocks_closed']} of 3 blocks for all images" in result.stdout


def test_the_gradient_of_the_bound_can_be_chosen(tmp_path: Path, data: Path) -> None:
    weights = []
    for gradient in ("mean", "official"):
        gates = ("--gating", "spatial", "--target-density", "0.2", "--bound-gradient", gradient)
        assert call(*options(data, tmp_path / gradient, *gates)).exit_code == 0
        weights.append(load_checkpoint(tmp_path / gradient / "model.safetensors")[0].layer1[0].mask_s.atten_s.weight)
    assert not torch.equal(*weights)


def test_the_test_set_is_asked_every_so_many_epochs(tmp_path: Path, data: Path) -> None:
    result = call(*options(data, tmp_path / "run", "--evaluate-every", "2"))
    assert ["top1" in json.loads(line) for line in result.stdout.splitlines()[:2]] == [False, True]


def test_a_gated_run_starts_from_a_static_one(tmp_path: Path, data: Path) -> None:
    assert call(*options(data, tmp_path / "static")).exit_code == 0
    initial = tmp_path / "static" / "model.safetensors"
    gates = ("--gating", "channel", "--target-density", "0.5", "--initial", str(initial), "--learning-rate", "1e-12")
    assert call(*options(data, tmp_path / "gated", *gates)).exit_code == 0
    before, after = (load_checkpoint(p)[0] for p in (initial, tmp_path / "gated" / "model.safetensors"))
    torch.testing.assert_close(after.conv1.weight, before.conv1.weight)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--gating", "dual"], "--gating dual needs --target-density"),
        (["--target-density", "0.5"], "--target-density needs gates"),
        (["--gating", "dual", "--target-density", "1.5"], "not in the range 0<x<=1"),
        (["--gating", "tile"], "'tile' is not one of"),
        (["--recipe", "long"], "'long' is not one of"),
        (["--depth", "9"], "gatewright: error: ResNet depth 9 is not 6n+2"),
        (["--device", "gpu"], "gatewright: error: cannot use device 'gpu'"),
        (["--initial", "absent.safetensors"], "gatewright: error: no checkpoint at absent.safetensors"),
        (["--data", "absent"], "gatewright: error: no CIFAR-10 data at absent"),
    ],
)
def test_wrong_options_are_exit_code_2(tmp_path: Path, data: Path, more: list[str], message: str) -> None:
    result = call(*options(data, tmp_path / "run", *more))
    assert result.exit_code == 2 and message in result.stderr
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_evaluate_uses_the_packaged_sample(tmp_path: Path) -> None:
    state = public_dgnet.random_state(1, True, True, seed=4)
    torch.save({"state_dict": state}, tmp_path / "m.pth.tar")
    result = call("evaluate", tmp_path / "m.pth.tar", "--images", "8", "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    sample = load_sample().head(8)
    logits, masks = public_dgnet.evaluate(state, 1, torch.from_numpy(CIFAR10.normalise(sample.images)))
    assert figures["top1"] == 100 * (logits.argmax(1).numpy() == sample.labels).mean()
    assert figures["channel_density"] == pytest.approx([float(active.mean()) for _, active in masks])
    assert figures["spatial_density"] == pytest.approx([float(pixels.mean()) for pixels, _ in masks])
    assert figures["images"] == 8 and figures["network"] == "dgnet-resnet8" and 0 < figures["mac_ratio"] < 1


def test_evaluate_in_integers_too(tmp_path: Path, data: Path) -> None:
    checkpoint = tmp_path / "m.pth.tar"
    torch.save({"state_dict": public_dgnet.random_state(1, True, True, seed=4)}, checkpoint)
    uncalibrated = call("evaluate", checkpoint, "--data", data, "--int8")
    assert uncalibrated.exit_code == 2 and "has no activation ranges" in uncalibrated.stderr
    write_ranges(checkpoint, load_cifar10(data, "train"))
    result = call("evaluate", checkpoint, "--data", data, "--int8", "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["top1_int8"] in (0, 25, 50, 75, 100)  # of four images
    assert 0 <= figures["flipped_decisions"] < 0.2, "int8 decides nearly as float32 does"
    text = call("evaluate", checkpoint, "--data", data, "--int8").stdout
    assert f"{figures['top1_int8']:.2f}% (int8)" in text


def test_evaluate_takes_no_more_images_than_there_are(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.safetensors", NetworkSpec(8).build(), NetworkSpec(8))
    result = call("evaluate", tmp_path / "m.safetensors", "--images", "257")
    assert result.exit_code == 2 and "cannot take 257 images from a set of 256" in result.stderr


def test_names_of_the_zoo_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "m.safetensors", NetworkSpec(8).build(), NetworkSpec(8))
    folder = make_zoo(tmp_path / "zoo", (tmp_path / "m.safetensors").read_bytes())
    monkeypatch.setattr(zoo, "FOLDER", folder)
    result = call("evaluate", "resnet8", "--images", "4")
    assert result.exit_code == 0 and "MACs ratio 1.0000" in result.stdout
    unknown = call("evaluate", "resnet9")
    assert unknown.exit_code == 2 and "the zoo has resnet8" in unknown.stderr

    listed = call("zoo")
    assert listed.exit_code == 0
    assert listed.stdout.splitlines()[1].split() == ["resnet8", "90.10%", "-", "1.0000", "-", "24", "intact"]
    (folder / "resnet8.safetensors").write_bytes(b"other")
    damaged = call("zoo")
    assert damaged.exit_code == 2 and "resnet8 differ from their cards" in damaged.stderr
    assert damaged.stdout.split()[-1] == "damaged"
    assert hashlib.sha256(b"other").hexdigest() == zoo.sha256(folder / "resnet8.safetensors")


def test_evaluate_says_whether_the_card_is_reproduced(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "m.safetensors", NetworkSpec(8).build(), NetworkSpec(8))
    weights = (tmp_path / "m.safetensors").read_bytes()
    monkeypatch.setattr(zoo, "FOLDER", make_zoo(tmp_path / "a", weights))
    printed = call("evaluate", "resnet8", "--data", data).stdout
    assert "card       90.10%: NOT reproduced" in printed
    top1 = float(printed.split("top-1")[1].split("%")[0])
    monkeypatch.setattr(zoo, "FOLDER", make_zoo(tmp_path / "b", weights, top1_float=top1))
    assert f"card       {top1:.2f}%: reproduced" in call("evaluate", "resnet8", "--data", data).stdout
    assert "card" not in call("evaluate", "resnet8", "--data", data, "--images", "2").stdout


def test_curves_of_a_run_and_of_a_network(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(*options(data, tmp_path / "run")).exit_code == 0
    assert call("curves", tmp_path / "run", "-o", tmp_path / "run.svg").exit_code == 0
    folder = make_zoo(tmp_path / "zoo")
    monkeypatch.setattr(zoo, "FOLDER", folder)
    (folder / "resnet8.metrics.jsonl").write_bytes((tmp_path / "run" / "metrics.jsonl").read_bytes())
    assert call("curves", "resnet8", "-o", tmp_path / "zoo.svg").exit_code == 0
    assert (tmp_path / "zoo.svg").read_text().startswith("<?xml")
    refused = call("curves", tmp_path, "-o", tmp_path / "none.svg")
    assert refused.exit_code == 2 and "is not the log of a training run" in refused.stderr


def test_an_empty_zoo_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    assert call("zoo").stdout.startswith("The zoo is empty")
