"""DenseNets against torchvision's networks, written out independently."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.densenet.layers import DenseLayer
from gatewright.models.families.densenet.network import DenseNet
from gatewright.models.families.spec import NetworkSpec
from tests.support import public_densenet
from tests.support.layer_macs import macs_of_layers

LAYERS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
FAMILY = "densenet"


@pytest.mark.parametrize("depth", [121, 201])
def test_evaluation_is_the_public_networks(depth: int) -> None:
    state = public_densenet.random_state(LAYERS[depth], depth, classes=7)
    state = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
    network = DenseNet(depth, classes=7, size=64).double().eval()
    network.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits, masks = network.forward_with_masks(x)
        expected = public_densenet.evaluate(state, LAYERS[depth], x)
    assert len(masks) == sum(LAYERS[depth]) + 3 and all(not m.of("spatial") + m.of("channel") for m in masks)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_a_dense_layer_puts_its_channels_behind_its_input() -> None:
    layer = DenseLayer(6, 4, 5, 5).eval()
    x = torch.randn(1, 6, 5, 5, generator=torch.Generator().manual_seed(1))
    out, _ = layer(x)
    assert out.shape == (1, 10, 5, 5) and torch.equal(out[:, :6], x)


@pytest.mark.parametrize("old_names", [False, True])
def test_public_files_load(tmp_path: Path, old_names: bool) -> None:
    """Torchvision's files have ``norm.1`` where its modules have ``norm1``, and no counts of batches."""
    state = public_densenet.random_state(LAYERS[121], 1, classes=7)
    stored = state
    if old_names:
        layer = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))([12]\..*)$")
        stored = {layer.sub(r"\1.\2", n): v for n, v in state.items() if not n.endswith("num_batches_tracked")}
        assert "features.denseblock2.denselayer12.norm.2.running_var" in stored
    torch.save(stored, tmp_path / "model.pth")
    network, spec = load_checkpoint(tmp_path / "model.pth")
    assert spec == NetworkSpec(121, classes=7, size=224, family_name=FAMILY) and spec.name == "densenet121"
    assert isinstance(network, DenseNet)
    counts = {name for name in state if name.endswith("num_batches_tracked")} if old_names else set()
    found = network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items() if name not in counts)


def test_own_format_round_trip(tmp_path: Path) -> None:
    spec = NetworkSpec(121, classes=5, size=32, family_name=FAMILY)
    network = spec.build()
    save_checkpoint(tmp_path / "model.safetensors", network, spec)
    loaded, found = load_checkpoint(tmp_path / "model.safetensors")
    assert found == spec
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("depth", "parameters", "macs"), [(121, 7_978_856, 2.834e9), (169, 14_149_480, 3.36e9), (201, 20_013_928, 4.291e9)]
)
def test_sizes_are_the_published_ones(depth: int, parameters: int, macs: float) -> None:
    """Of torchvision's ``DenseNet121_Weights`` and so on, ``num_params`` and ``_ops``."""
    with torch.device("meta"):
        network = DenseNet(depth)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.dense_macs() == pytest.approx(macs, rel=2e-4)


@pytest.mark.parametrize(("depth", "size"), [(121, 224), (201, 224), (121, 75), (169, 32)])
def test_dense_macs_are_those_of_the_layers_that_run(depth: int, size: int) -> None:
    with torch.device("meta"):
        network = DenseNet(depth, size=size).eval()
    assert network.dense_macs() == macs_of_layers(network, torch.zeros(1, 3, size, size, device="meta"))


def test_networks_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="there is no DenseNet-161 here; depths are 121, 169, 201"):
        NetworkSpec(161, family_name=FAMILY).build()
    with pytest.raises(GatewrightError, match="a DenseNet here has the gates 'ddi' or none, and no gating 'dual'"):
        NetworkSpec(121, "dual", family_name=FAMILY).build()
    with pytest.raises(GatewrightError, match="images of 31 pixels are too small for a DenseNet"):
        NetworkSpec(121, size=31, family_name=FAMILY).build()
    torch.save(public_densenet.random_state((1, 2, 3, 4), 1, classes=7), tmp_path / "small.pth")
    with pytest.raises(GatewrightError, match=r"small\.pth: its dense blocks have \(1, 2, 3, 4\) layers; DenseNets"):
        load_checkpoint(tmp_path / "small.pth")
