"""ResNets with ConvNet-AIG's gates, against the paper's equations and tensors as the public release names them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.aig import LayerGate
from gatewright.models.synthetic.densities import densities
from gatewright.models.synthetic.noise import noise_images
from gatewright.models.synthetic.synthesis import synthesise
from tests.support.public_layers import State, add_norm, norm, weights

IMAGENET_NET, CIFAR_NET = "resnet-imagenet", "resnet-cifar"


def public_block(generator: torch.Generator, inputs: int, shapes: list[tuple[int, ...]], shortcut: bool) -> State:
    """A block's tensors as the release has them."""
    state: State = {}
    for number, shape in enumerate(shapes, start=1):
        state[f"conv{number}.weight"] = weights(generator, *shape)
        add_norm(state, f"bn{number}", shape[0], generator)
    if shortcut:
        state["shortcut.0.weight"] = weights(generator, shapes[-1][0], inputs, 1, 1)
        add_norm(state, "shortcut.1", shapes[-1][0], generator)
    state["fc1.weight"] = weights(generator, 16, inputs, 1, 1)
    state["fc1.bias"] = torch.randn(16, generator=generator) * 0.1
    add_norm(state, "fc1bn", 16, generator)
    state["fc2.weight"] = weights(generator, 2, 16, 1, 1)
    state["fc2.bias"] = torch.randn(2, generator=generator) * 0.1
    return state


def gate_of(state: State, x: Tensor) -> Tensor:
    """Whether the second logit is the larger one, [N, 1, 1, 1]."""
    hidden = F.conv2d(x.mean((2, 3), keepdim=True), state["fc1.weight"], state["fc1.bias"])
    logits = F.conv2d(F.relu(norm(state, "fc1bn", hidden)), state["fc2.weight"], state["fc2.bias"])
    return (logits[:, 1:] > logits[:, :1]).float()


def block_of(state: State, x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The block's output, and its gate's decisions."""
    y, count = x, sum(name.startswith("conv") for name in state)
    strided = 1 if count == 2 else 2
    for number in range(1, count + 1):
        weight = state[f"conv{number}.weight"]
        y = F.conv2d(y, weight, stride=stride if number == strided else 1, padding=weight.shape[2] // 2)
        y = norm(state, f"bn{number}", y)
        y = F.relu(y) if number < count else y
    if "shortcut.0.weight" in state:
        kept = norm(state, "shortcut.1", F.conv2d(x, state["shortcut.0.weight"], stride=stride))
    else:
        kept = x
    gate = gate_of(state, x)
    return F.relu(kept + gate * y), gate


def test_blocks_are_the_papers_equation() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, 8, 8, 8, generator=generator) + torch.randn(12, 8, 1, 1, generator=generator)
    cases: list[tuple[torch.nn.Module, list[tuple[int, ...]], int]] = [
        (BasicBlock(8, 8, 8, 8, stride=1, tile=2, gating="aig"), [(8, 8, 3, 3), (8, 8, 3, 3)], 1),
        (BasicBlock(8, 16, 8, 8, stride=2, tile=2, gating="aig"), [(16, 8, 3, 3), (16, 16, 3, 3)], 2),
        (Bottleneck(8, 4, 8, 8, stride=2, tile=2, gating="aig"), [(4, 8, 1, 1), (4, 4, 3, 3), (16, 4, 1, 1)], 2),
    ]
    for block, shapes, stride in cases:
        state = public_block(generator, 8, shapes, shapes[-1][0] != 8)
        ours = {f"mask_l.{name}" if name.startswith("fc") else name: tensor for name, tensor in state.items()}
        block.load_state_dict({name.replace("shortcut", "downsample"): tensor for name, tensor in ours.items()})
        with torch.no_grad():
            out, masks = block.eval()(x)
        expected, gate = block_of(state, x, stride)
        assert torch.equal(masks.spatial, gate) and 0 < float(gate.mean()) < 1 and masks.channel is None
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_a_public_checkpoint_loads(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    state: State = {"conv1.weight": weights(generator, 16, 3, 3, 3), "linear.weight": torch.randn(10, 64) / 8}
    state["linear.bias"] = torch.zeros(10)
    add_norm(state, "bn1", 16, generator)
    widths = {"layer1": (16, 16), "layer2": (16, 32), "layer3": (32, 64)}
    blocks = {}
    for name, (inputs, outputs) in widths.items():
        shapes = [(outputs, inputs, 3, 3), (outputs, outputs, 3, 3)]
        blocks[name] = public_block(generator, inputs, list(shapes), inputs != outputs)
        state |= {f"{name}.0.{part}": tensor for part, tensor in blocks[name].items()}
    torch.save({"state_dict": state}, tmp_path / "model.pth.tar")
    network, spec = load_checkpoint(tmp_path / "model.pth.tar")
    assert (spec.name, spec.depth, spec.gating) == ("aig-resnet8", 8, "aig")
    x = torch.randn(4, 3, 32, 32, generator=generator)
    y = F.relu(norm(state, "bn1", F.conv2d(x, state["conv1.weight"], padding=1)))
    for name in widths:
        y, _ = block_of(blocks[name], y, 1 if name == "layer1" else 2)
    expected = y.mean((2, 3)) @ state["linear.weight"].T
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("depth", "family"), [(8, CIFAR_NET), (18, IMAGENET_NET), (50, IMAGENET_NET)])
def test_checkpoints_are_recognised(tmp_path: Path, depth: int, family: str) -> None:
    spec = NetworkSpec(depth, "aig", classes=5, size=48, family_name=family)  # no tiles that 48 pixels would cut
    network = spec.build()
    save_checkpoint(tmp_path / "model.safetensors", network, spec)
    assert load_checkpoint(tmp_path / "model.safetensors")[1] == spec
    torch.save(network.state_dict(), tmp_path / "model.pth")
    assert load_checkpoint(tmp_path / "model.pth")[1].gating == "aig"


def test_a_gate_starts_open_and_learns() -> None:
    gate = LayerGate(8)
    gate.reset_gate()
    x = torch.randn(64, 8, 4, 4, generator=torch.Generator().manual_seed(3))
    assert gate.eval()(x).mean() == 1
    torch.manual_seed(3)
    mask = gate.train()(x)
    assert set(mask.unique().tolist()) == {0.0, 1.0} and mask.shape == (64, 1, 1, 1)
    mask.sum().backward()
    assert gate.fc2.weight.grad is not None and bool((gate.fc2.weight.grad != 0).any())


def test_densities_of_drawn_networks_hold_and_macs_are_those_of_the_blocks_that_run() -> None:
    spec = NetworkSpec(18, "aig", classes=20, size=64, family_name=IMAGENET_NET)
    noise = noise_images(24, 64, 1, IMAGENET)
    made = synthesise(spec, noise, partial(densities, spatial=0.75, channel=1), 5)
    with torch.no_grad():
        _, masks = made.network.forward_with_masks(torch.from_numpy(noise.normalised()))
    present = [mask.spatial for mask in masks if mask.spatial is not None]
    assert [float(mask.mean()) for mask in present] == [0.75] * 8
    blocks = made.network.blocks()
    work = torch.tensor([block.expected_macs(1, 1) - block.expected_macs(0, 1) for block in blocks])
    fixed = made.network.ungated_macs() + sum(block.expected_macs(0, 1) + block.gate_macs() for block in blocks)
    expected = fixed + torch.stack([mask.flatten() for mask in present], 1).double() @ work.double()
    torch.testing.assert_close(made.network.gated_macs(masks).double(), expected)
    with pytest.raises(GatewrightError, match="a network with gates 'aig' cannot have densities"):
        densities(made.network, 0.5, 0.5)


def test_a_mobilenet_has_none() -> None:
    with pytest.raises(GatewrightError, match="a MobileNetV2 has DGNet's gates here, no AIG gates"):
        NetworkSpec(53, "aig", family_name="mobilenet-v2").build()
