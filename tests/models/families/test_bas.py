"""ResNets with BAS gates, against the paper's equation (4) and its count of parameters."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.densities import densities
from gatewright.models.synthetic.noise import noise_images
from gatewright.models.synthetic.synthesis import synthesise
from tests.support.public_layers import State, add_channel_gate, add_norm, decided_channels, norm, weights

IMAGENET_NET, CIFAR_NET = "resnet-imagenet", "resnet-cifar"


def convolution(state: State, name: str, number: int, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    weight = state[f"{name}{number}.weight"]
    return norm(state, f"bn{number}", F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2))


def images(channels: int) -> torch.Tensor:
    return torch.randn(3, channels, 8, 8, generator=torch.Generator().manual_seed(2))


def test_a_basic_block_is_the_papers_equation() -> None:
    generator = torch.Generator().manual_seed(1)
    state: State = {}
    add_channel_gate(state, "mask_c", 8, 8, generator, hidden=16)
    for number in (1, 2):
        state[f"conv{number}.weight"] = weights(generator, 8, 8, 3, 3)
        add_norm(state, f"bn{number}", 8, generator)
    block = BasicBlock(8, 8, 8, 8, stride=1, tile=2, gating="bas").eval()
    block.load_state_dict(state)
    x = images(8)
    with torch.no_grad():
        out, masks = block(x)
    gates = decided_channels(state, "mask_c", x)
    inner = gates * F.relu(convolution(state, "conv", 1, x))
    assert masks.spatial is None and masks.channel is not None and torch.equal(masks.channel, gates)
    assert 0 < float(gates.mean()) < 1
    torch.testing.assert_close(out, F.relu(convolution(state, "conv", 2, inner) + x), rtol=1e-5, atol=1e-5)


def test_both_gates_of_a_bottleneck_read_the_blocks_input() -> None:
    generator = torch.Generator().manual_seed(1)
    state: State = {}
    for gate in ("mask_c1", "mask_c2"):
        add_channel_gate(state, gate, 32, 8, generator, hidden=16)
    for number, shape in enumerate(((8, 32, 1, 1), (8, 8, 3, 3), (32, 8, 1, 1)), start=1):
        state[f"conv{number}.weight"] = weights(generator, *shape)
        add_norm(state, f"bn{number}", shape[0], generator)
    block = Bottleneck(32, 8, 8, 8, stride=1, tile=2, gating="bas").eval()
    block.load_state_dict(state)
    x = images(32)
    with torch.no_grad():
        out, masks = block(x)
    first, second = (decided_channels(state, gate, x) for gate in ("mask_c1", "mask_c2"))
    assert masks.channel is not None and masks.second is not None
    assert torch.equal(masks.channel, first) and torch.equal(masks.second, second)
    inner = first * F.relu(convolution(state, "conv", 1, x))
    inner = second * F.relu(convolution(state, "conv", 2, inner))
    torch.testing.assert_close(out, F.relu(convolution(state, "conv", 3, inner) + x), rtol=1e-5, atol=1e-5)


def test_parameters_are_the_papers() -> None:
    """Table 1: ResNet34-BAS has 21.91M parameters in total, ResNet34 21.79M (both cut, not rounded)."""
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in NetworkSpec(34, gating, classes=1000, size=224, family_name=IMAGENET_NET)
                .build().parameters())
            for gating in ("none", "bas")
        ]  # fmt: skip
    assert [count // 10_000 for count in counts] == [2179, 2191]


@pytest.mark.parametrize(("depth", "family"), [(8, CIFAR_NET), (20, CIFAR_NET), (18, IMAGENET_NET), (50, IMAGENET_NET)])
def test_checkpoints_are_recognised(tmp_path: Path, depth: int, family: str) -> None:
    spec = NetworkSpec(depth, "bas", classes=5, size=32, family_name=family)
    assert spec.name == f"bas-resnet{depth}"
    network = spec.build()
    save_checkpoint(tmp_path / "model.safetensors", network, spec)
    assert load_checkpoint(tmp_path / "model.safetensors")[1] == spec
    torch.save(network.state_dict(), tmp_path / "model.pth")
    assert load_checkpoint(tmp_path / "model.pth")[1].gating == "bas"


def test_densities_of_drawn_networks_hold() -> None:
    spec = NetworkSpec(18, "bas", classes=20, size=64, family_name=IMAGENET_NET)
    noise = noise_images(24, 64, 1, IMAGENET)
    made = synthesise(spec, noise, partial(densities, spatial=1, channel=0.6), 5)
    with torch.no_grad():
        _, masks = made.network.forward_with_masks(torch.from_numpy(noise.normalised()))
    assert [float(m.channel.mean()) for m in masks if m.channel is not None] == pytest.approx([0.6] * 8, abs=0.02)
    assert made.record.spatial_dependent is None
    with pytest.raises(GatewrightError, match="a network with gates 'bas' cannot have densities"):
        densities(made.network, 0.5, 0.5)


def test_a_mobilenet_has_none() -> None:
    with pytest.raises(GatewrightError, match="a MobileNetV2 has DGNet's gates here, no BAS gates"):
        NetworkSpec(53, "bas", family_name="mobilenet-v2").build()
