"""Drawn networks of every family: densities and MAC ratios, counted here from the decisions alone."""

from __future__ import annotations

from functools import cache, partial

import pytest
import torch

from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.densities import Densities, densities, expected_ratio
from gatewright.models.synthetic.noise import noise_images
from gatewright.models.synthetic.synthesis import TOLERANCE, Synthetic, synthesise, synthesise_for_ratio
from tests.support import public_bottleneck, public_mobilenet
from tests.support.layer_macs import macs_of_layers

SIZE, COUNT, SEED = 64, 24, 5
RESNET50 = NetworkSpec(50, "dual", classes=20, size=SIZE, family_name="resnet-imagenet")
MOBILENET = NetworkSpec(53, "dual", classes=20, size=96, family_name="mobilenet-v2")


@cache
def images(size: int) -> ImageSet:
    return noise_images(COUNT, size, 1, IMAGENET)


def masks_of(made: Synthetic) -> list[BlockMasks]:
    with torch.no_grad():
        return made.network.forward_with_masks(torch.from_numpy(images(made.spec.size).normalised()))[1]


def resnet50_ratio(made: Synthetic) -> float:
    """Mean MACs by dense ones of ResNet-50, gates included."""
    dense = macs_of_layers(made.network, torch.zeros(1, 3, SIZE, SIZE))
    gated, edge = torch.full((COUNT,), float(dense), dtype=torch.float64), SIZE // 4
    blocks = public_bottleneck.blocks_of((3, 4, 6, 3))
    for (_, inputs, width, stride, tile), mask in zip(blocks, masks_of(made), strict=True):
        assert mask.spatial is not None and mask.channel is not None and mask.second is not None
        tiles, first, second = (m.sum((1, 2, 3)).double() for m in (mask.spatial, mask.channel, mask.second))
        edge //= stride
        cells, wide = (edge // tile) ** 2, (stride * edge) ** 2
        gated += (tiles / cells * first - width) * wide * inputs
        gated += (tiles * tile**2 * first * second - edge**2 * width**2) * 9
        gated += (tiles * tile**2 * second - edge**2 * width) * 4 * width
        gated += cells * 9 * inputs + inputs // 4 * (inputs + width) + width // 4 * 2 * width
    return float(gated.mean() / dense)


def mobilenet_ratio(made: Synthetic) -> float:
    """Mean MACs by dense ones of MobileNetV2, gates included."""
    dense = macs_of_layers(made.network, torch.zeros(1, 3, 96, 96))
    gated, edge = torch.full((COUNT,), float(dense), dtype=torch.float64), 48
    for (_, inputs, hidden, outputs, stride, tile), mask in zip(public_mobilenet.blocks(), masks_of(made), strict=True):
        edge //= stride
        if mask.spatial is None or mask.channel is None:
            continue
        cells = -(-edge // tile)
        rows = torch.tensor([row * cells // edge for row in range(edge)])
        pixels = mask.spatial[:, 0, rows][:, :, rows].sum((1, 2)).double()
        kept = mask.channel.sum((1, 2, 3)).double()
        gated += (pixels * kept - edge**2 * hidden) * (inputs + 9 + outputs)
        gated += cells**2 * 9 * inputs + inputs // 4 * (inputs + hidden)
    return float(gated.mean() / dense)


@pytest.mark.parametrize("spec", [RESNET50, MOBILENET], ids=["resnet50", "mobilenet"])
def test_densities_hold_in_every_gate(spec: NetworkSpec) -> None:
    """Over the images of the calibration to one decision of a gate, also of one that reads a masked map."""
    made = synthesise(spec, images(spec.size), partial(densities, spatial=0.7, channel=0.55), SEED)
    for number, mask in enumerate(masks_of(made)):
        for kind, wanted in (("spatial", 0.7), ("channel", 0.55)):
            found = [getattr(mask, kind)] + ([mask.second] if kind == "channel" else [])
            means = [float(m.mean()) for m in found if m is not None]
            assert means == pytest.approx([wanted] * len(means), abs=1.5 / COUNT)
            reached, aimed = (getattr(of, kind)[number] for of in (made.record.reached, made.record.wanted))
            assert reached == pytest.approx(sum(means) / len(means) if means else 1.0)
            assert aimed == (wanted if means else 1.0)
    for share in (made.record.spatial_dependent, made.record.channel_dependent):
        assert share is not None and share > 0.9


@pytest.mark.parametrize(
    ("spec", "ratio", "channel_part"),
    [(RESNET50, 0.4, 0.5), (RESNET50, 0.5, 1.0), (MOBILENET, 0.55, 0.5), (MOBILENET, 0.7, 0.0)],
    ids=["resnet50-both", "resnet50-channels", "mobilenet-both", "mobilenet-tiles"],
)
def test_a_mac_ratio_is_held(spec: NetworkSpec, ratio: float, channel_part: float) -> None:
    made = synthesise_for_ratio(spec, images(spec.size), ratio, SEED, channel_part)
    counted = resnet50_ratio(made) if spec is RESNET50 else mobilenet_ratio(made)
    assert counted == pytest.approx(ratio, rel=TOLERANCE)
    assert made.record.mac_ratio == pytest.approx(counted, rel=1e-6)


def test_the_expected_ratio_of_a_bottleneck_has_the_square_of_the_channels() -> None:
    """At 64 pixels the first block has 16x16 pixels, 64 channels in, 64 inside, 256 out."""
    network = RESNET50.build()
    open_gates = Densities((1.0,) * 16, (1.0,) * 16)
    first = Densities((0.5,) + (1.0,) * 15, (0.4,) + (1.0,) * 15)
    saved = (expected_ratio(network, open_gates) - expected_ratio(network, first)) * network.dense_macs()
    outer, inner = 256 * 64 * (64 + 256), 256 * 9 * 64 * 64
    assert saved == pytest.approx(outer * (1 - 0.5 * 0.4) + inner * (1 - 0.5 * 0.4**2))


def test_a_densenet_can_be_drawn() -> None:
    """Norms have the statistics of what they read, and no class is preferred over the images."""
    spec = NetworkSpec(121, classes=20, size=SIZE, family_name="densenet")
    made = synthesise(spec, images(SIZE), partial(densities, spatial=1, channel=1), SEED)
    assert made.spec.name == "synthetic-densenet121" and made.record.mac_ratio == 1
    seen: dict[str, torch.Tensor] = {}
    for name, module in made.network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]}))
    x = torch.from_numpy(images(SIZE).normalised())
    with torch.no_grad():
        logits = made.network(x)
    assert len(seen) == 1 + 2 * 58 + 3 + 1
    for name, values in seen.items():
        norm = made.network.get_submodule(name)
        torch.testing.assert_close(norm.running_mean, values.mean((0, 2, 3)), rtol=0.05, atol=0.05)
    torch.testing.assert_close(logits.mean(0), torch.zeros(20), rtol=0, atol=1e-3)
