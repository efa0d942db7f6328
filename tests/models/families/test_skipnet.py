"""SkipNet's blocks and gates beside the paper's equations, written here once more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.skipnet import FeedForwardGate


def lively(module: nn.Module, seed: int) -> nn.Module:
    """Random weights and statistics, and a gate whose logits are centred."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                value = torch.randn(tensor.shape, generator=generator) / max(1, tensor[0].numel()) ** 0.5
                tensor.copy_(value.abs() + 0.5 if name.endswith(("running_var", "bn1.weight")) else value)
    return module.eval()


def norm(module: nn.BatchNorm2d, x: Tensor) -> Tensor:
    return F.batch_norm(x, module.running_mean, module.running_var, module.weight, module.bias)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_is_computed_or_stands(stride: int) -> None:
    block = lively(BasicBlock(8, 8 * stride, 8, 8, stride, tile=2, gating="skip"), 3)
    assert isinstance(block, BasicBlock) and isinstance(block.mask_l, FeedForwardGate)
    x = (
        torch.randn(16, 8, 8, 8, generator=torch.Generator().manual_seed(4))
        * torch.linspace(-3, 3, 16)[:, None, None, None]
    )
    with torch.no_grad():
        gate = block.mask_l
        seen = F.relu(norm(gate.bn1, F.conv2d(x, gate.conv1.weight, stride=2, padding=1))).mean((2, 3))
        share = F.softmax(seen @ gate.linear_layer.weight[:, :, 0, 0].T + gate.linear_layer.bias, 1)[:, 1]
        assert gate.linear_layer.bias is not None
        between = share.sort().values[7:9].mean()
        gate.linear_layer.bias[0] += float(torch.logit(between))  # half of the images have it on
        on = (share > between).float()
        y = F.relu(norm(block.bn1, F.conv2d(x, block.conv1.weight, stride=stride, padding=1)))
        y = norm(block.bn2, F.conv2d(y, block.conv2.weight, padding=1))
        kept = x if block.downsample is None else block.downsample(x)
        out, masks = block(x)
    assert masks.spatial is not None and torch.equal(masks.spatial.flatten(), on) and 0 < float(on.mean()) < 1
    expected = torch.where(on.bool()[:, None, None, None], F.relu(y + kept), kept)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert bool((out[on == 0] < 0).any()), "what stands has no ReLU"


def test_a_gate_starts_open_learns_and_is_counted() -> None:
    gate = FeedForwardGate(8, 7, 7)
    gate.reset_gate()
    x = torch.randn(32, 8, 7, 7, generator=torch.Generator().manual_seed(3))
    gate.train()
    mask = gate(x)
    assert mask.shape == (32, 1, 1, 1) and float(mask.detach().mean()) > 0.5
    mask.sum().backward()
    assert gate.conv1.weight.grad is not None and bool((gate.conv1.weight.grad != 0).any())
    assert gate.macs() == 16 * 9 * 64 + 8


@pytest.mark.parametrize(("depth", "family"), [(8, "resnet-cifar"), (50, "resnet-imagenet")])
def test_all_blocks_but_the_first_have_one_and_checkpoints_are_recognised(
    tmp_path: Path, depth: int, family: str
) -> None:
    spec = NetworkSpec(depth, "skip", classes=5, size=64, family_name=family)
    network = spec.build()
    assert [bool(block.gates()) for block in network.blocks()] == [False] + [True] * (len(network.blocks()) - 1)
    save_checkpoint(tmp_path / "model.safetensors", network, spec)
    assert load_checkpoint(tmp_path / "model.safetensors")[1] == spec
    torch.save(network.state_dict(), tmp_path / "model.pth")
    found = load_checkpoint(tmp_path / "model.pth")[1]
    assert (found.gating, found.name) == ("skip", f"skipnet-resnet{depth}")


def test_a_bottleneck_block_has_the_gate_of_its_input() -> None:
    gate = Bottleneck(16, 4, 9, 9, 2, tile=1, gating="skip").mask_l
    assert isinstance(gate, FeedForwardGate) and (gate.channels, gate.pixels) == (16, 25)


def test_a_mobilenet_has_none() -> None:
    with pytest.raises(GatewrightError, match="a MobileNetV2 has DGNet's gates here, no SKIP gates"):
        NetworkSpec(53, "skip", family_name="mobilenet-v2").build()
