"""ResNet-50 and ResNet-101 against torchvision's and the DGNet release's networks, written out independently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.resnet_imagenet.network import BottleneckResNet
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from gatewright.models.training.training import initialise_from
from tests.support import public_bottleneck
from tests.support.layer_macs import macs_of_layers

COUNTS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
GATES = {"none": (False, False), "spatial": (True, False), "channel": (False, True), "dual": (True, True)}
FAMILY = "resnet-imagenet"


def public_state(depth: int, gating: Gating) -> dict[str, torch.Tensor]:
    return public_bottleneck.random_state(COUNTS[depth], *GATES[gating], seed=depth, classes=7)


@pytest.mark.parametrize(
    ("depth", "gating"), [(50, "none"), (50, "spatial"), (50, "channel"), (50, "dual"), (101, "none"), (101, "dual")]
)
def test_evaluation_is_the_public_networks(depth: int, gating: Gating) -> None:
    state = public_state(depth, gating)
    state = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
    network = BottleneckResNet(depth, gating, classes=7, size=64).double().eval()
    network.load_state_dict(state)
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits, masks = network.forward_with_masks(x)
        expected, expected_masks = public_bottleneck.evaluate(state, COUNTS[depth], x)
    found = [mask for block in masks for mask in (block.spatial, block.channel, block.second) if mask is not None]
    gates = GATES[gating][0] + 2 * GATES[gating][1]
    assert len(found) == gates * sum(COUNTS[depth]) == len(expected_masks)
    assert all(torch.equal(mask, other.double()) for mask, other in zip(found, expected_masks, strict=True))
    if found:
        assert 0.2 < float(torch.cat([mask.flatten() for mask in found]).mean()) < 0.8, "both decisions must occur"
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def by_hand(decided_when: float) -> tuple[Bottleneck, torch.Tensor]:
    """A block of stride 2 over 4x4 pixels: 16 channels, 4 inside, tiles of one pixel, and an input whose channel 0 is 4
    in its upper left quarter, 1 elsewhere. Its second channel gate has the mean of what it reads less a number.
    """
    block = Bottleneck(16, 4, 4, 4, stride=2, tile=1, gating="dual").eval()
    for norm in (module for module in block.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.eps = 0.0
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.ndim == 4:
                parameter.zero_()
        block.mask_s.atten_s.weight[0, 0, 1, 1] = 1.0  # a tile is on where the mean of channel 0 is 3 or more
        block.mask_s.atten_s.bias.fill_(-3.0)  # type: ignore[union-attr]
        block.mask_c1.atten_c[3].bias.copy_(torch.tensor([1.0, -1.0, 1.0, -1.0]))  # type: ignore[arg-type]
        block.conv1.weight[:, 0] = 1.0
        block.mask_c2.atten_c[0].weight.fill_(1.0)  # type: ignore[operator]
        block.mask_c2.atten_c[3].weight.fill_(1.0)  # type: ignore[operator]
        block.mask_c2.atten_c[3].bias.fill_(-decided_when)  # type: ignore[operator]
        block.conv2.weight[:, :, 1, 1] = 1.0
        block.conv3.weight.fill_(1.0)
    x = torch.zeros(1, 16, 4, 4)
    x[0, 0] = 1.0
    x[0, 0, :2, :2] = 4.0
    return block, x


def test_the_second_channel_gate_reads_zeros_where_tiles_and_channels_were_left_out() -> None:
    """Of 16 pixels four are in the one tile that is on, of four channels two are on: the sum of means is 2 * 1."""
    for decided_when, on in ((1.99, 1.0), (2.01, 0.0)):
        block, x = by_hand(decided_when)
        with torch.no_grad():
            out, masks = block(x)
        assert masks.spatial is not None and masks.channel is not None and masks.second is not None
        assert masks.spatial[0, 0].tolist() == [[1.0, 0.0], [0.0, 0.0]]
        assert masks.channel.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]
        assert masks.second.flatten().tolist() == [on] * 4
        # conv2 adds the two channels that are on at the tile's first pixel, conv3 the four of conv2.
        assert out[0, 5].tolist() == [[4 * (4.0 + 4.0) * on, 0.0], [0.0, 0.0]]


def test_in_training_channels_alone_are_masked_inside_unless_tiles_are_too() -> None:
    block, x = by_hand(1.0)
    read: list[torch.Tensor] = []
    block.mask_c2.register_forward_pre_hook(lambda gate, inputs: read.append(inputs[0]))
    block.train()
    block.mask_s.eval()  # the decisions of a gate in training are drawn
    block.mask_c1.eval()
    block.mask_c2.eval()
    for norm in (block.bn1, block.bn2, block.bn3, *(block.downsample or [])):
        norm.eval()
    for block.tiles_between in (False, True):
        with torch.no_grad():
            block(x)
    assert [float(values[0, 0].sum()) for values in read] == [16.0 + 12.0, 16.0]
    assert [float(values[0, 1].sum()) for values in read] == [0.0, 0.0]


@pytest.mark.parametrize(("depth", "gating"), [(50, "none"), (50, "dual"), (101, "none")])
def test_public_files_load(tmp_path: Path, depth: int, gating: Gating) -> None:
    """Torchvision's are tensors alone, the DGNet release wraps its own, whose gates may have no biases."""
    state = public_state(depth, gating)
    stored: object = state
    if gating == "dual":
        gates = (".atten_s.bias", ".atten_c.3.bias")
        stored = {"state_dict": {f"module.{n}": value for n, value in state.items() if not n.endswith(gates)}}
    torch.save(stored, tmp_path / "model.pth")
    network, spec = load_checkpoint(tmp_path / "model.pth")
    assert spec == NetworkSpec(depth, gating, None, classes=7, size=224, family_name=FAMILY)
    assert isinstance(network, BottleneckResNet) and torch.equal(network.layer4[2].conv3.weight,  # type: ignore[index,union-attr]
        state["layer4.2.conv3.weight"])  # fmt: skip
    if gating == "dual":
        assert network.blocks()[3].mask_c2.atten_c[3].bias.tolist() == [0.0] * 128


def test_own_format_round_trip_and_names(tmp_path: Path) -> None:
    spec = NetworkSpec(50, "dual", 0.4, classes=5, size=32, family_name=FAMILY)
    assert (spec.name, replace(spec, depth=101, gating="none", target_density=None).name) == (
        "dgnet-resnet50-0.4",
        "resnet101",
    )
    network = spec.build()
    save_checkpoint(tmp_path / "model.safetensors", network, spec)
    loaded, found = load_checkpoint(tmp_path / "model.safetensors")
    assert found == spec
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("depth", "parameters", "macs"), [(50, 25_557_032, 4.089e9), (101, 44_549_160, 7.801e9)])
def test_sizes_are_the_published_ones(depth: int, parameters: int, macs: float) -> None:
    """Of torchvision's ``ResNet50_Weights`` and ``ResNet101_Weights``, ``num_params`` and ``_ops``."""
    with torch.device("meta"):
        network = BottleneckResNet(depth)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.dense_macs() == pytest.approx(macs, rel=2e-4)


@pytest.mark.parametrize(("gating", "size"), [("none", 224), ("dual", 224), ("none", 75), ("spatial", 64)])
@pytest.mark.parametrize("depth", [50, 101])
def test_dense_macs_are_those_of_the_layers_that_run(depth: int, gating: Gating, size: int) -> None:
    with torch.device("meta"):
        network = BottleneckResNet(depth, gating, size=size).eval()
    assert network.dense_macs() == macs_of_layers(network, torch.zeros(1, 3, size, size, device="meta"))


def test_gate_macs_are_the_share_that_the_paper_has() -> None:
    """DGNet, section 4.2: the gates of ResNet-50 are 0.28% of its MACs."""
    with torch.device("meta"):
        network = BottleneckResNet(50, "dual")
    share = sum(block.gate_macs() for block in network.blocks()) / network.dense_macs()
    assert round(100 * share, 2) == 0.28


def test_gated_macs_against_a_count_of_tiles_and_channels() -> None:
    with torch.device("meta"):
        network = BottleneckResNet(50, "dual")
    generator = torch.Generator().manual_seed(3)
    expected, masks, inputs, edge = [112 * 112 * 64 * 147 + 2048 * 1000] * 4, [], 64, 56
    for stage, (count, width) in enumerate(zip(COUNTS[50], (64, 128, 256, 512), strict=True)):
        for index in range(count):
            stride = 2 if stage and not index else 1
            edge //= stride
            tile = edge // 7
            spatial = torch.rand(4, 1, 7, 7, generator=generator) < 0.6
            first, second = (torch.rand(4, width, 1, 1, generator=generator) < 0.5 for _ in range(2))
            masks.append(BlockMasks(spatial.float(), first.float(), second.float()))
            for sample in range(4):
                tiles, c1, c2 = (int(mask[sample].sum()) for mask in (spatial, first, second))
                expected[sample] += tiles * (tile * stride) ** 2 * c1 * inputs
                expected[sample] += tiles * tile**2 * (9 * c1 * c2 + c2 * 4 * width)
                expected[sample] += edge**2 * inputs * 4 * width if index == 0 else 0
                expected[sample] += 49 * 9 * inputs + inputs // 4 * (inputs + width) + width // 4 * 2 * width
            inputs = 4 * width
    assert network.gated_macs(masks).tolist() == pytest.approx(expected, rel=1e-6)


def test_a_training_starts_from_the_same_blocks(tmp_path: Path) -> None:
    basic = NetworkSpec(34, classes=5, size=32, family_name=FAMILY)
    save_checkpoint(tmp_path / "basic.safetensors", basic.build(), basic)
    with pytest.raises(GatewrightError, match="a network starts from one of its own with the same blocks"):
        initialise_from(BottleneckResNet(50, classes=5, size=32), tmp_path / "basic.safetensors")
