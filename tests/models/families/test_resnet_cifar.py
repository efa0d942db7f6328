"""The networks against a forward pass and a count of operations that share no code with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.gates.kinds import Gating
from tests.support import public_dgnet
from tests.support.layer_macs import macs_of_layers

GATES = {"none": (False, False), "spatial": (True, False), "channel": (False, True), "dual": (True, True)}


def loaded(
    gating: Gating, blocks: int, seed: int, uniform_tile: int | None = None
) -> tuple[ResNetCifar, dict[str, torch.Tensor]]:
    state = public_dgnet.random_state(blocks, *GATES[gating], seed=seed)
    network = ResNetCifar(6 * blocks + 2, gating, uniform_tile=uniform_tile)
    network.load_state_dict(state)
    return network.eval(), state


@pytest.mark.parametrize("gating", list(GATES))
@pytest.mark.parametrize("blocks", [1, 2])
def test_evaluation_is_the_public_releases(gating: Gating, blocks: int) -> None:
    network, state = loaded(gating, blocks, seed=blocks)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        logits, masks = network.forward_with_masks(x)
        expected, expected_masks = public_dgnet.evaluate(state, blocks, x)
    for block, mask, (pixels, active) in zip(network.blocks(), masks, expected_masks, strict=True):
        if mask.spatial is not None:
            grid = mask.spatial.repeat_interleave(block.tile, 2).repeat_interleave(block.tile, 3)
            assert torch.equal(grid, pixels)
            assert 0 < mask.spatial.mean() < 1, "the case must exercise both decisions"
        if mask.channel is not None:
            assert torch.equal(mask.channel, active)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tile", [1, 2, 8])
def test_tiles_of_one_edge_are_those_of_a_release_that_has_them(tile: int) -> None:
    network, state = loaded("dual", 1, seed=6, uniform_tile=tile)
    stages = tuple((*stage[:3], tile) for stage in public_dgnet.CIFAR.stages)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        logits, _ = network.forward_with_masks(x)
        expected, masks = public_dgnet.evaluate(state, 1, x, replace(public_dgnet.CIFAR, stages=stages))
    assert any(0 < pixels.mean() < 1 for pixels, _ in masks), "the case must exercise both decisions"
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


class Fixed(nn.Module):
    """A gate that always says the same."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mask.expand(len(x), *self.mask.shape[1:])


def test_an_inactive_tile_of_an_identity_block_is_left_alone_and_an_empty_one_gets_the_bias() -> None:
    network, state = loaded("dual", 1, seed=4)
    block = network.blocks()[0]
    tiles = torch.zeros(1, 1, 8, 8)
    tiles[0, 0, 2, 5] = 1
    block.mask_s, block.mask_c = Fixed(tiles), Fixed(torch.zeros(1, 16, 1, 1))  # type: ignore[assignment]
    x = torch.rand(2, 16, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        out, _ = block(x)
    active = torch.zeros(32, 32, dtype=torch.bool)
    active[8:12, 20:24] = True
    assert torch.equal(out[:, :, ~active], x[:, :, ~active])
    deviation = torch.sqrt(state["layer1.0.bn2.running_var"] + 1e-5)
    bias = state["layer1.0.bn2.bias"] - state["layer1.0.bn2.running_mean"] / deviation * state["layer1.0.bn2.weight"]
    expected = torch.relu(x + bias.view(1, -1, 1, 1))
    torch.testing.assert_close(out[:, :, active], expected[:, :, active])


def test_gates_that_are_all_open_change_nothing() -> None:
    gated, state = loaded("dual", 1, seed=6)
    static = ResNetCifar(8)
    static.load_state_dict({name: value for name, value in state.items() if ".mask_" not in name})
    for block in gated.blocks():
        block.mask_s.atten_s.weight.data.zero_()
        block.mask_c.atten_c[3].weight.data.zero_()
        block.mask_s.reset_gate()
        block.mask_c.reset_gate()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(gated(x), static.eval()(x))


@pytest.mark.parametrize("size", [32, 28, 9])
@pytest.mark.parametrize("gating", ["none", "dual"])
def test_dense_macs_are_those_of_the_layers_that_run(gating: Gating, size: int) -> None:
    network = ResNetCifar(14, gating, classes=7, size=size).eval()
    assert network.dense_macs() == macs_of_layers(network, torch.zeros(1, 3, size, size))


def test_known_sizes_of_resnet20() -> None:
    """272,474 parameters is the published size of ResNet-20 with projection shortcuts."""
    assert sum(p.numel() for p in ResNetCifar(20).parameters()) == 272_474


@pytest.mark.parametrize("depth", [38, 74])
def test_the_depths_of_dynamic_inference_papers_count_convolutions_and_classifier(depth: int) -> None:
    with torch.device("meta"):
        network = ResNetCifar(depth)
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert sum(".downsample." not in name for name in layers) == depth
    assert len(network.blocks()) == (depth - 2) // 2


def test_gated_macs_against_a_loop_over_tiles_and_channels() -> None:
    network = ResNetCifar(14, "dual")
    generator = torch.Generator().manual_seed(3)
    masks = []
    expected = torch.full((5,), 32 * 32 * 16 * 27 + 64 * 10, dtype=torch.float64)
    shapes = [(16, 16, 32, 4), (16, 16, 32, 4), (16, 32, 16, 2), (32, 32, 16, 2), (32, 64, 8, 2), (64, 64, 8, 2)]
    for inputs, channels, edge, tile in shapes:
        grid = edge // tile
        spatial = (torch.rand(5, 1, grid, grid, generator=generator) < 0.6).float()
        channel = (torch.rand(5, channels, 1, 1, generator=generator) < 0.5).float()
        masks.append(BlockMasks(spatial, channel))
        for sample in range(5):
            on = sum(1 for y in range(grid) for x in range(grid) if spatial[sample, 0, y, x])
            kept = sum(1 for c in range(channels) if channel[sample, c, 0, 0])
            expected[sample] += on * tile * tile * kept * 9 * inputs  # first convolution: fewer filters
            expected[sample] += on * tile * tile * channels * 9 * kept  # second: fewer input channels
        if inputs != channels:
            expected += edge * edge * channels * inputs
        hidden = inputs // 4
        expected += grid * grid * 9 * inputs + inputs * hidden + hidden * channels
    assert network.gated_macs(masks).double().tolist() == expected.tolist()


def test_training_masks_channels_but_tiles_only_if_told_between_the_convolutions() -> None:
    network, _ = loaded("dual", 1, seed=8)
    block = network.blocks()[0]
    tiles, channels = torch.zeros(1, 1, 8, 8), torch.ones(1, 16, 1, 1)
    channels[0, ::2] = 0
    block.mask_s, block.mask_c = Fixed(tiles), Fixed(channels)  # type: ignore[assignment]
    seen = []
    block.conv2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.rand(2, 16, 32, 32)
    with torch.no_grad():
        block.train()(x)
        block.eval()(x)
        block.tiles_between = True
        block.train()(x)
    in_training, in_evaluation, as_the_machine = seen
    assert not in_training[:, ::2].any() and bool(in_training[:, 1::2].any())
    assert not in_evaluation.any()
    assert not as_the_machine.any()


@pytest.mark.parametrize("depth", [2, 7, 18, 21])
def test_depths_that_are_not_6n_plus_2_are_refused(depth: int) -> None:
    with pytest.raises(GatewrightError, match=f"depth {depth} is not 6n"):
        ResNetCifar(depth)


def test_every_gate_starts_open() -> None:
    for block in ResNetCifar(8, "dual").blocks():
        assert block.mask_s.atten_s.bias is not None
        assert block.mask_s.atten_s.bias.tolist() == [2.0]
        assert block.mask_c.atten_c[3].bias.tolist() == [2.0] * block.channels
