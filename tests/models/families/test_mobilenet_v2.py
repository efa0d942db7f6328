"""MobileNetV2 against torchvision's and the DGNet release's network, written out independently."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.mobilenet_v2.inverted_residual import InvertedResidual
from gatewright.models.families.mobilenet_v2.network import MobileNetV2
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from tests.support import public_mobilenet
from tests.support.layer_macs import macs_of_layers

GATES = {"none": (False, False), "spatial": (True, False), "channel": (False, True), "dual": (True, True)}
FAMILY = "mobilenet-v2"


def public_state(gating: Gating, seed: int = 1) -> dict[str, torch.Tensor]:
    return public_mobilenet.random_state(*GATES[gating], seed=seed, classes=7)


@pytest.mark.parametrize("gating", list(GATES))
def test_evaluation_is_the_public_networks(gating: Gating) -> None:
    """At 96 pixels the last gated maps are 3x3 with 2x2 tiles: overlapping bins, ragged tiles, as 4x4 over 7x7."""
    state = public_state(gating)
    state = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
    network = MobileNetV2(gating=gating, classes=7, size=96).double().eval()
    network.load_state_dict(state)
    x = torch.randn(3, 3, 96, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits, masks = network.forward_with_masks(x)
        expected, expected_masks = public_mobilenet.evaluate(state, x)
    assert len(masks) == 17 and sum(m != (None, None) for m in expected_masks) == (0 if gating == "none" else 10)
    for mask, (spatial, channel) in zip(masks, expected_masks, strict=True):
        for found, other in ((mask.spatial, spatial), (mask.channel, channel)):
            assert (found is None) == (other is None)
            assert found is None or other is None or torch.equal(found, other.double())
    if gating != "none":
        decided = torch.cat([m.flatten() for mask in masks for m in (*mask.of("spatial"), *mask.of("channel"))])
        assert 0.2 < float(decided.mean()) < 0.8, "both decisions must occur"
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_a_grid_of_4x4_over_7x7_pixels_has_ragged_tiles_and_overlapping_bins() -> None:
    """Tiles are of 2, 2, 2 and 1 pixels; the bins that the gate averages are 0-1, 1-3, 3-5 and 5-6."""
    block = InvertedResidual(8, 8, 7, 7, stride=1, expansion=6, tile=2, gating="dual").eval()
    assert block.mask_s.atten_s.bias is not None
    with torch.no_grad():
        block.mask_s.atten_s.weight.zero_()
        block.mask_s.atten_s.weight[0, 0, 1, 1] = 1.0
        block.mask_s.atten_s.bias.fill_(-0.3)
        block.conv[3].bias.fill_(1.0)  # type: ignore[operator]
    x = torch.zeros(1, 8, 7, 7)
    x[0, 0, 3] = 1.0  # row 3 is in the second and the third row of bins, a third of either
    with torch.no_grad():
        out, masks = block(x)
    assert masks.spatial is not None
    assert masks.spatial[0, 0].tolist() == [[0.0] * 4, [1.0] * 4, [1.0] * 4, [0.0] * 4]
    changed = (out != x).any(1)[0].any(1)
    assert changed.tolist() == [False, False, True, True, True, True, False]
    on = BlockMasks(torch.tensor([[[[0.0, 0, 0, 1]] + [[0.0] * 4] * 3]]), torch.ones(1, 48, 1, 1))
    assert float(block.gated_macs(on)) == 2 * 1 * 48 * (8 + 9 + 8)  # the last tile of a row is one pixel wide


def test_the_channel_mask_is_behind_the_depthwise_convolution() -> None:
    block = InvertedResidual(8, 8, 4, 4, stride=1, expansion=6, tile=2, gating="channel").eval()
    bias = torch.where(torch.arange(48) < 5, 1.0, -1.0)
    with torch.no_grad():
        block.mask_c.atten_c[3].weight.zero_()  # type: ignore[operator]
        block.mask_c.atten_c[3].bias.copy_(bias)  # type: ignore[operator]
    read: list[torch.Tensor] = []
    block.conv[2].register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    block.conv[1].register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    with torch.no_grad():
        block(torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(1)))
    depthwise, project = read
    assert bool((project[:, 5:] == 0).all()) and bool((project[:, :5] > 0).any())
    assert bool((depthwise[:, 5:] > 0).any()) and float(depthwise.max()) <= 6.0


def test_only_blocks_that_add_their_input_have_gates() -> None:
    with torch.device("meta"):
        network = MobileNetV2(gating="dual")
    grids = {
        number: (block.mask_s.mask_height, block.mask_c.out_channels)
        for number, block in enumerate(network.blocks(), start=1)
        if block.gating != "none"
    }
    assert grids == {3: (7, 144), 5: (7, 192), 6: (7, 192), 8: (7, 384), 9: (7, 384), 10: (7, 384), 12: (7, 576),
                     13: (7, 576), 15: (4, 960), 16: (4, 960)}  # fmt: skip
    ungated = {name.split(".mask_")[0] for name in network.state_dict() if ".mask_" in name}
    assert ungated == {f"features.{number}" for number in grids}


def test_in_training_tiles_are_masked_at_the_end_alone() -> None:
    block = InvertedResidual(8, 8, 4, 4, stride=1, expansion=6, tile=2, gating="spatial")
    assert block.mask_s.atten_s.bias is not None
    torch.nn.init.zeros_(block.mask_s.atten_s.weight)
    torch.nn.init.constant_(block.mask_s.atten_s.bias, -1.0)
    block.mask_s.eval()  # the decisions of a gate in training are drawn
    read: list[torch.Tensor] = []
    block.conv[1].register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    for block.tiles_between in (False, True):
        out, _ = block(x)
        assert torch.equal(out, x)
    assert [bool(values.any()) for values in read] == [True, False]


@pytest.mark.parametrize("gating", ["none", "dual"])
def test_public_files_load(tmp_path: Path, gating: Gating) -> None:
    state = public_state(gating)
    gates = (".atten_s.bias", ".atten_c.3.bias")
    stored: object = state if gating == "none" else {
        "state_dict": {f"module.{name}": value for name, value in state.items() if not name.endswith(gates)}
    }  # fmt: skip
    torch.save(stored, tmp_path / "model.pth")
    network, spec = load_checkpoint(tmp_path / "model.pth")
    assert spec == NetworkSpec(53, gating, None, classes=7, size=224, family_name=FAMILY)
    assert spec.name == ("mobilenet-v2" if gating == "none" else "dgnet-mobilenet-v2")
    assert isinstance(network, MobileNetV2)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]) if not name.endswith(gates) else not value.any()


def test_other_widths_are_named(tmp_path: Path) -> None:
    state = public_state("none")
    torch.save({name: value[:16] if name.startswith("features.0.") and value.ndim else value
                for name, value in state.items()}, tmp_path / "half.pth")  # fmt: skip
    with pytest.raises(GatewrightError, match=r"half\.pth: .*\[16, 16, 24, 24, .*; only that of width 1\.0 is here"):
        load_checkpoint(tmp_path / "half.pth")
    shorter = {name: value for name, value in state.items() if not name.startswith("features.18.")}
    torch.save(shorter, tmp_path / "shorter.pth")
    with pytest.raises(GatewrightError, match=r"shorter\.pth: .*320, None\] channels"):
        load_checkpoint(tmp_path / "shorter.pth")
    with pytest.raises(GatewrightError, match="there is no MobileNetV2 of 20 layers here; it has 53"):
        NetworkSpec(20, family_name=FAMILY).build()


def test_own_format_round_trip(tmp_path: Path) -> None:
    spec = NetworkSpec(53, "dual", 0.5, classes=5, size=64, family_name=FAMILY)
    network = spec.build()
    save_checkpoint(tmp_path / "model.safetensors", network, spec)
    loaded, found = load_checkpoint(tmp_path / "model.safetensors")
    assert found == spec and spec.name == "dgnet-mobilenet-v2-0.5"
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())


def test_sizes_are_the_published_ones() -> None:
    """Of torchvision's ``MobileNet_V2_Weights``: ``num_params`` 3504872, ``_ops`` 0.301; of DGNet, section 4.2, the
    share of the gates' MACs, .14%.
    """
    with torch.device("meta"):
        network, gated = MobileNetV2(), MobileNetV2(gating="dual")
    assert sum(p.numel() for p in network.parameters()) == 3_504_872
    assert round(network.dense_macs() / 1e9, 3) == 0.301
    share = sum(block.gate_macs() for block in gated.blocks()) / gated.dense_macs()
    assert 100 * share == pytest.approx(0.14, abs=0.01)


@pytest.mark.parametrize(("gating", "size"), [("none", 224), ("dual", 224), ("none", 75), ("dual", 96)])
def test_dense_macs_are_those_of_the_layers_that_run(gating: Gating, size: int) -> None:
    with torch.device("meta"):
        network = MobileNetV2(gating=gating, size=size).eval()
    assert network.dense_macs() == macs_of_layers(network, torch.zeros(1, 3, size, size, device="meta"))


def test_gated_macs_against_a_count_of_pixels_and_channels() -> None:
    with torch.device("meta"):
        network = MobileNetV2(gating="dual")
    generator = torch.Generator().manual_seed(3)
    expected, masks, edge = [112 * 112 * 27 * 32 + 49 * 320 * 1280 + 1280 * 1000] * 3, [], 112
    for _, inputs, hidden, outputs, stride, tile in public_mobilenet.blocks():
        expand = 0 if hidden == inputs else edge * edge * inputs * hidden
        edge //= stride
        if stride == 2 or inputs != outputs:
            masks.append(BlockMasks(None, None))
            fixed = expand + edge * edge * hidden * (9 + outputs)
            expected = [macs + fixed for macs in expected]
            continue
        cells = -(-edge // tile)
        spatial = torch.rand(3, 1, cells, cells, generator=generator) < 0.6
        channel = torch.rand(3, hidden, 1, 1, generator=generator) < 0.5
        masks.append(BlockMasks(spatial.float(), channel.float()))
        for sample in range(3):
            pixels = sum(
                bool(spatial[sample, 0, row * cells // edge, column * cells // edge])
                for row in range(edge)
                for column in range(edge)
            )
            expected[sample] += pixels * int(channel[sample].sum()) * (inputs + 9 + outputs)
            expected[sample] += cells * cells * 9 * inputs + inputs // 4 * (inputs + hidden)
    assert network.gated_macs(masks).tolist() == pytest.approx(expected, rel=1e-6)
