from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
from gatewright.models.families.resnet_cifar import Gating
from tests.support import public_dgnet

GATES = {"none": (False, False), "spatial": (True, False), "channel": (False, True), "dual": (True, True)}


def images() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("spec", [NetworkSpec(8), NetworkSpec(14, "dual", 0.4), NetworkSpec(8, "channel", 0.3, 7, 28)])
def test_own_format_round_trip(tmp_path: Path, spec: NetworkSpec) -> None:
    torch.manual_seed(1)
    network = spec.build()
    save_checkpoint(tmp_path / "new" / "model.safetensors", network, spec)
    loaded, loaded_spec = load_checkpoint(tmp_path / "new" / "model.safetensors")
    assert loaded_spec == spec and not loaded.training
    state = loaded.state_dict()
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("gating", list(GATES))
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_public_releases_files_load_and_say_the_same(
    tmp_path: Path, gating: Gating, prefix: str, wrapped: bool
) -> None:
    state = public_dgnet.random_state(2, *GATES[gating], seed=5, classes=6)
    stored: dict[str, object] = {prefix + name: value for name, value in state.items()}
    path = tmp_path / "model_best.pth.tar"
    torch.save({"epoch": 12, "best_prec1": 91.5, "state_dict": stored} if wrapped else stored, path)
    network, spec = load_checkpoint(path)
    assert spec == NetworkSpec(14, gating, None, classes=6)
    with torch.no_grad():
        expected, _ = public_dgnet.evaluate(state, 2, images())
        torch.testing.assert_close(network(images()), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (NetworkSpec(20), "resnet20"),
        (NetworkSpec(20, "dual", 0.4), "dgnet-resnet20-0.4"),
        (NetworkSpec(56, "spatial", 0.25), "dgnet-spatial-resnet56-0.25"),
        (NetworkSpec(110, "channel"), "dgnet-channel-resnet110"),
    ],
)
def test_names(spec: NetworkSpec, name: str) -> None:
    assert spec.name == name


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth.tar"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 50, None], ids=["empty", "garbage", "truncated"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        if name.endswith("safetensors"):
            save_checkpoint(path, NetworkSpec(8).build(), NetworkSpec(8))
        else:
            torch.save({"state_dict": public_dgnet.random_state(1, True, True, seed=1)}, path)
        content = path.read_bytes()[:-1000]
    path.write_bytes(content)
    with pytest.raises(GatewrightError, match=rf"checkpoint .*{name} is damaged"):
        load_checkpoint(path)


class _Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.witness),)


def test_code_hidden_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "model.pth.tar"
    torch.save({"state_dict": _Malicious(tmp_path / "witness")}, path)
    with pytest.raises(GatewrightError, match="damaged or not a PyTorch file"):
        load_checkpoint(path)
    assert not (tmp_path / "witness").exists()


def test_files_of_other_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "absent.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(GatewrightError, match="is not a gatewright-checkpoint-1 file; its format is None"):
        load_checkpoint(tmp_path / "other.safetensors")
    torch.save({"state_dict": {"head.weight": torch.zeros(1)}}, tmp_path / "vit.pth")
    with pytest.raises(GatewrightError, match="holds no CIFAR ResNet"):
        load_checkpoint(tmp_path / "vit.pth")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(GatewrightError, match="holds no CIFAR ResNet"):
        load_checkpoint(tmp_path / "list.pt")


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = public_dgnet.random_state(1, True, True, seed=1)
    del state["layer2.0.conv2.weight"]
    torch.save({"state_dict": state}, tmp_path / "model.pth.tar")
    with pytest.raises(GatewrightError, match=r"does not fit dgnet-resnet8: (.|\n)*layer2\.0\.conv2\.weight"):
        load_checkpoint(tmp_path / "model.pth.tar")


@pytest.mark.parametrize("spec", ["{", json.dumps({"depth": 8, "width": 2}), json.dumps([8]), None])
def test_a_spec_that_cannot_be_read_is_refused(tmp_path: Path, spec: str | None) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, NetworkSpec(8).build(), NetworkSpec(8))
    metadata = {"format": "gatewright-checkpoint-1"} | ({} if spec is None else {"spec": spec})
    save_file(load_file(path), path, metadata)
    with pytest.raises(GatewrightError, match="its spec cannot be read"):
        load_checkpoint(path)
