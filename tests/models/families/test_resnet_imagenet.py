"""ResNet-18 and ResNet-34 against torchvision's and the DGNet release's networks, written out independently."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.registry import FAMILIES
from gatewright.models.families.resnet_imagenet.network import ResNetImageNet
from gatewright.models.families.spec import HeadSpec, NetworkSpec
from gatewright.models.gates.kinds import Gating
from gatewright.models.training.training import initialise_from
from tests.support import public_densenet, public_dgnet, public_mobilenet
from tests.support.layer_macs import macs_of_layers

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
GATES = {"none": (False, False), "spatial": (True, False), "channel": (False, True), "dual": (True, True)}
FAMILY = "resnet-imagenet"


def public_state(depth: int, gating: Gating, seed: int, gate_bias: bool = True) -> dict[str, torch.Tensor]:
    layout = public_dgnet.IMAGENET
    return public_dgnet.random_state(BLOCKS[depth], *GATES[gating], seed, 7, gate_bias, layout)


def images(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


def assert_says_the_same(network: ResNetImageNet, state: dict[str, torch.Tensor], depth: int, x: torch.Tensor) -> None:
    with torch.no_grad():
        logits, masks = network.forward_with_masks(x)
        expected, expected_masks = public_dgnet.evaluate(state, BLOCKS[depth], x, public_dgnet.IMAGENET)
    for block, mask, (pixels, active) in zip(network.blocks(), masks, expected_masks, strict=True):
        if mask.spatial is not None:
            assert torch.equal(mask.spatial.repeat_interleave(block.tile, 2).repeat_interleave(block.tile, 3), pixels)
        if mask.channel is not None:
            assert torch.equal(mask.channel, active)
    decided = [m for mask in masks for m in (mask.spatial, mask.channel) if m is not None]
    assert all(0 < m.mean() < 1 for m in decided[:4]), "the case must exercise both decisions"
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("gating", list(GATES))
@pytest.mark.parametrize("depth", [18, 34])
def test_evaluation_is_the_public_networks(depth: int, gating: Gating) -> None:
    state = public_state(depth, gating, seed=depth)
    network = ResNetImageNet(depth, gating, classes=7, size=96).eval()
    network.load_state_dict(state)
    assert_says_the_same(network, state, depth, images(3, 96))


@pytest.mark.parametrize(("depth", "gating"), [(18, "none"), (34, "dual")])
def test_public_files_load(tmp_path: Path, depth: int, gating: Gating) -> None:
    """Torchvision's are tensors alone, the older ones without counts of batches; the DGNet release wraps its own."""
    state = public_state(depth, gating, seed=depth)
    if gating == "none":
        stored: object = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    else:
        stored = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}
    torch.save(stored, tmp_path / "model.pth")
    network, spec = load_checkpoint(tmp_path / "model.pth")
    assert spec == NetworkSpec(depth, gating, None, classes=7, size=224, family_name=FAMILY)
    assert spec.input_shape == (3, 224, 224) and isinstance(network, ResNetImageNet)
    assert_says_the_same(network, state, depth, images(1, 224))


def test_gates_without_a_bias_have_one_of_zero(tmp_path: Path) -> None:
    torch.save(public_state(18, "dual", 1, gate_bias=False), tmp_path / "model.pth")
    network, _ = load_checkpoint(tmp_path / "model.pth")
    assert network.blocks()[7].mask_c.atten_c[3].bias.tolist() == [0.0] * 512


def test_each_family_claims_its_own_networks() -> None:
    cifar = public_dgnet.random_state(1, True, True, seed=1)
    padded = {name.replace("fc.", "linear."): value for name, value in cifar.items()}
    own = public_state(18, "none", 1)
    mobile, dense = public_mobilenet.random_state(True, True, 1, 7), public_densenet.random_state((1, 1, 1, 1), 1, 7)
    names = ("retinanet", "region-proposals", "pspnet")
    of_maps = [NetworkSpec(18, size=96, family_name=name, head=HeadSpec(8)).module().state_dict() for name in names]
    states = (cifar, padded, own, mobile, dense, *of_maps)
    claims = {name: [family.claims(state) for state in states] for name, family in FAMILIES.items()}
    assert claims == {
        "resnet-cifar": [True, True, *[False] * 6],
        "resnet-cifar-exits": [False] * 8,
        FAMILY: [number == 2 for number in range(8)],
        "mobilenet-v2": [number == 3 for number in range(8)],
        "densenet": [number == 4 for number in range(8)],
        "retinanet": [number == 5 for number in range(8)],
        "region-proposals": [number == 6 for number in range(8)],
        "pspnet": [number == 7 for number in range(8)],
    }


def test_other_networks_with_four_stages_are_named(tmp_path: Path) -> None:
    state = public_state(18, "none", 1)
    deeper = state | {name.replace("layer2.1.", "layer2.2."): value for name, value in state.items()}
    torch.save(deeper, tmp_path / "deeper.pth")
    message = r"its stages have \(2, 3, 2, 2\) blocks; ImageNet ResNets of basic blocks here are 18 of .* and 34 of"
    with pytest.raises(GatewrightError, match=message):
        load_checkpoint(tmp_path / "deeper.pth")
    torch.save(state | {"layer1.0.conv3.weight": torch.zeros(256, 64, 1, 1)}, tmp_path / "resnet26.pth")
    with pytest.raises(
        GatewrightError, match=r"resnet26\.pth: .* ImageNet ResNets of bottleneck blocks here are 50 of"
    ):
        load_checkpoint(tmp_path / "resnet26.pth")


@pytest.mark.parametrize("gating", list(GATES))
def test_own_format_round_trip(tmp_path: Path, gating: Gating) -> None:
    target = None if gating == "none" else 0.4
    spec = NetworkSpec(18, gating, target, classes=5, size=64, family_name=FAMILY)
    network = spec.build()
    save_checkpoint(tmp_path / "model.safetensors", network, spec)
    loaded, found = load_checkpoint(tmp_path / "model.safetensors")
    assert found == spec
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (NetworkSpec(18, family_name=FAMILY), "resnet18"),
        (NetworkSpec(34, "dual", 0.3, 1000, 224, FAMILY), "dgnet-resnet34-0.3"),
        (NetworkSpec(18, "channel", 0.5, 1000, 224, FAMILY, synthetic=True), "synthetic-dgnet-channel-resnet18-0.5"),
    ],
)
def test_names(spec: NetworkSpec, name: str) -> None:
    assert spec.name == name


@pytest.mark.parametrize(
    ("depth", "parameters", "macs"), [(18, 11_689_512, 1.814e9), (34, 21_797_672, 3.664e9)], ids=["18", "34"]
)
def test_sizes_are_the_published_ones(depth: int, parameters: int, macs: float) -> None:
    """Parameters as torchvision lists them; MACs of convolutions and classifier as the DGNet release counts them."""
    with torch.device("meta"):
        network = ResNetImageNet(depth)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.dense_macs() == pytest.approx(macs, rel=5e-4)


@pytest.mark.parametrize(("gating", "size"), [("none", 224), ("dual", 224), ("none", 75), ("spatial", 64)])
@pytest.mark.parametrize("depth", [18, 34])
def test_dense_macs_are_those_of_the_layers_that_run(depth: int, gating: Gating, size: int) -> None:
    with torch.device("meta"):
        network = ResNetImageNet(depth, gating, size=size).eval()
    assert network.dense_macs() == macs_of_layers(network, torch.zeros(1, 3, size, size, device="meta"))


def test_gated_macs_against_a_count_of_tiles_and_channels() -> None:
    with torch.device("meta"):
        network = ResNetImageNet(18, "dual")
    generator = torch.Generator().manual_seed(3)
    masks = []
    expected = [112 * 112 * 64 * 147 + 512 * 1000] * 5
    shapes = [(64, 64, 56, 8), (64, 64, 56, 8), (64, 128, 28, 4), (128, 128, 28, 4)]
    shapes += [(128, 256, 14, 2), (256, 256, 14, 2), (256, 512, 7, 1), (512, 512, 7, 1)]
    for inputs, channels, edge, tile in shapes:
        spatial = torch.rand(5, 1, 7, 7, generator=generator) < 0.6
        channel = torch.rand(5, channels, 1, 1, generator=generator) < 0.5
        masks.append(BlockMasks(spatial.float(), channel.float()))
        for sample in range(5):
            pixels = tile * tile * int(spatial[sample].sum())
            kept = int(channel[sample].sum())
            expected[sample] += pixels * 9 * (inputs * kept + kept * channels)
            expected[sample] += edge * edge * channels * inputs if inputs != channels else 0
            expected[sample] += 49 * 9 * inputs + inputs * (inputs // 4) + inputs // 4 * channels
    assert network.gated_macs(masks).tolist() == pytest.approx(expected, rel=1e-6)


def test_networks_that_cannot_be_are_refused() -> None:
    with pytest.raises(
        GatewrightError, match="ResNet-26 here; depths are 18, 34 of basic blocks and 50, 101 of bottleneck"
    ):
        NetworkSpec(26, family_name=FAMILY).build()
    with pytest.raises(GatewrightError, match="spatial gates for images of 230 pixels would cut its tiles"):
        ResNetImageNet(18, "spatial", size=230)


def test_a_training_starts_from_its_own_family_and_depth(tmp_path: Path) -> None:
    static = NetworkSpec(18, classes=5, size=64, family_name=FAMILY)
    source = static.build()
    save_checkpoint(tmp_path / "static.safetensors", source, static)
    gated = ResNetImageNet(18, "dual", classes=5, size=64)
    initialise_from(gated, tmp_path / "static.safetensors")
    assert torch.equal(gated.layer4[1].conv2.weight, source.layer4[1].conv2.weight)  # type: ignore[index,union-attr]
    with pytest.raises(GatewrightError, match="is of the family resnet-imagenet; a network starts from one of its own"):
        initialise_from(NetworkSpec(20).build(), tmp_path / "static.safetensors")
    with pytest.raises(GatewrightError, match="is a resnet18; a network of 34 layers cannot start from one of 18"):
        initialise_from(ResNetImageNet(34, classes=5, size=64), tmp_path / "static.safetensors")
