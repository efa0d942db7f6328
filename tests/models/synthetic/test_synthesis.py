"""Drawn networks: their densities and MAC ratios are counted here from the decisions alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from gatewright.models.synthetic.densities import densities, densities_for_ratio, expected_ratio
from gatewright.models.synthetic.noise import noise_images
from gatewright.models.synthetic.synthesis import TOLERANCE, Synthetic, synthesise, synthesise_for_ratio

SIZE, COUNT, SEED = 64, 24, 5


def spec(gating: Gating = "dual", depth: int = 18) -> NetworkSpec:
    return NetworkSpec(depth, gating, classes=20, size=SIZE, family_name="resnet-imagenet")


@cache
def images(seed: int = 1) -> ImageSet:
    return noise_images(COUNT, SIZE, seed, IMAGENET)


@cache
def drawn(seed: int = SEED) -> Synthetic:
    return synthesise(spec(), images(), partial(densities, spatial=0.7, channel=0.55), seed)


def masks(made: Synthetic, of: ImageSet) -> dict[str, torch.Tensor]:
    """Decisions [N, decisions] of each gate."""
    with torch.no_grad():
        _, found = made.network.forward_with_masks(torch.from_numpy(of.normalised()))
    both = {f"{number}.{kind}": getattr(m, kind) for number, m in enumerate(found) for kind in ("spatial", "channel")}
    return {name: mask.flatten(1) for name, mask in both.items() if mask is not None}


def counted_ratio(made: Synthetic, of: ImageSet) -> float:
    """Mean MACs by dense ones of ResNet-18 at 64 pixels, gates included."""
    found = masks(made, of)
    shapes = [(64, 64, 16, 8), (64, 64, 16, 8), (64, 128, 8, 4), (128, 128, 8, 4)]
    shapes += [(128, 256, 4, 2), (256, 256, 4, 2), (256, 512, 2, 1), (512, 512, 2, 1)]
    dense = 32 * 32 * 64 * 147 + 512 * 20
    gated = torch.full((len(of),), float(dense), dtype=torch.float64)
    for number, (inputs, channels, edge, tile) in enumerate(shapes):
        shortcut = edge * edge * channels * inputs if inputs != channels else 0
        dense += 9 * edge * edge * channels * (inputs + channels) + shortcut
        pixels, kept = torch.full((len(of),), edge * edge), torch.full((len(of),), channels)
        if f"{number}.spatial" in found:
            pixels = found[f"{number}.spatial"].sum(1) * tile * tile
            gated += 4 * 9 * inputs
        if f"{number}.channel" in found:
            kept = found[f"{number}.channel"].sum(1)
            gated += inputs // 4 * (inputs + channels)
        gated += 9 * pixels.double() * kept.double() * (inputs + channels) + shortcut
    return float(gated.mean() / dense)


def test_densities_hold_in_every_block() -> None:
    """Over the images of the calibration to one decision of a gate; over others to a twentieth, on average."""
    made = drawn()
    for name, mask in masks(made, images()).items():
        assert float(mask.mean()) == pytest.approx(0.7 if "spatial" in name else 0.55, abs=1.5 / mask.numel())
    others = masks(made, images(2))
    for kind, wanted in (("spatial", 0.7), ("channel", 0.55)):
        found = [float(mask.mean()) for name, mask in others.items() if kind in name]
        assert np.mean(found) == pytest.approx(wanted, abs=0.05)


def test_masks_differ_by_image() -> None:
    """On images that the network was not calibrated with, too: no gate has one answer."""
    for name, mask in masks(drawn(), images(2)).items():
        different = len({tuple(row) for row in mask.tolist()})
        assert different >= (5 if "spatial" in name else COUNT - 2)  # four tiles have 16 masks
    for name, mask in masks(drawn(), images()).items():
        if "channel" in name:  # no channel is left on, or off, for all images
            assert float(mask.mean(0).min()) > 0.2 and float(mask.mean(0).max()) < 0.85
    made = drawn()
    assert made.record.spatial_dependent == 1.0
    assert made.record.channel_dependent is not None and made.record.channel_dependent > 0.95


def test_the_record_is_what_a_count_of_the_masks_gives() -> None:
    made = drawn()
    found = masks(made, images())
    for kind in ("spatial", "channel"):
        counted = [float(mask.mean()) for name, mask in found.items() if kind in name]
        assert getattr(made.record.reached, kind) == pytest.approx(counted)
        assert getattr(made.record.wanted, kind) == (0.7 if kind == "spatial" else 0.55,) * 8
    assert made.record.mac_ratio == pytest.approx(counted_ratio(made, images()), rel=1e-6)
    assert (made.record.images, made.record.images_from, made.record.seed) == (COUNT, "noise", SEED)


def test_a_seed_decides_every_byte_and_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    again = synthesise(spec(), images(), partial(densities, spatial=0.7, channel=0.55), SEED)
    assert torch.equal(torch.get_rng_state(), before)
    first, second = (made.network.state_dict() for made in (drawn(), again))
    assert all(value.numpy().tobytes() == second[name].numpy().tobytes() for name, value in first.items())
    assert again.record == drawn().record
    assert not torch.equal(drawn(SEED + 1).network.fc.weight, drawn().network.fc.weight)
    noise = [noise_images(2, 32, seed, IMAGENET).images for seed in (1, 1, 2)]
    assert np.array_equal(noise[0], noise[1]) and not np.array_equal(noise[0], noise[2])


@pytest.mark.parametrize("length", [4, 12])
def test_noise_has_the_correlation_length_that_is_asked_for(length: int) -> None:
    images = noise_images(16, 96, 1, IMAGENET, correlation=length).images[..., 1].astype(np.float64)
    images -= images.mean((1, 2), keepdims=True)
    for distance, expected in ((length, np.exp(-1)), (length // 2, np.exp(-0.25)), (3 * length, 0.0)):
        found = (images[:, :, distance:] * images[:, :, :-distance]).mean() / (images**2).mean()
        assert found == pytest.approx(expected, abs=0.08)


@pytest.mark.parametrize(
    ("gating", "ratio", "channel_part", "spread"),
    [("dual", 0.42, 0.5, 0.0), ("dual", 0.42, 0.0, 0.0), ("dual", 0.5, 1.0, 0.0), ("spatial", 0.5, 0.5, 0.0),
     ("dual", 0.33, 0.4, 0.2)],
)  # fmt: skip
def test_a_mac_ratio_is_held(gating: Gating, ratio: float, channel_part: float, spread: float) -> None:
    made = synthesise_for_ratio(spec(gating), images(), ratio, SEED, channel_part, spread)
    assert counted_ratio(made, images()) == pytest.approx(ratio, rel=TOLERANCE)
    found = masks(made, images())
    if channel_part == 0:
        assert all(bool(mask.all()) for name, mask in found.items() if "channel" in name)
    if channel_part == 1:
        assert all(bool(mask.all()) for name, mask in found.items() if "spatial" in name)
    wanted = np.array([made.record.wanted.spatial, made.record.wanted.channel])
    assert wanted.std(1).max() == pytest.approx(spread, abs=0.1)
    assert bool(wanted.std(1).max() > 0.1) == bool(spread)


def test_a_spread_is_around_the_density_and_within_bounds() -> None:
    network = spec(depth=34).build()
    wanted = densities(network, 0.5, 0.6, spread=0.1, seed=3)
    for found, mean in ((wanted.spatial, 0.5), (wanted.channel, 0.6)):
        assert len(set(found)) == 16
        assert np.mean(found) == pytest.approx(mean, abs=0.08) and np.std(found) == pytest.approx(0.1, abs=0.05)
    wide = densities(network, 0.5, 0.6, spread=2.0, seed=3)
    assert min(wide.spatial + wide.channel) == 0.05 and max(wide.spatial + wide.channel) == 1.0


def test_the_expected_ratio_of_open_gates_is_the_dense_network_and_its_gates() -> None:
    network = spec().build()
    shapes = [(64, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    gates = sum(4 * 9 * inputs + inputs // 4 * (inputs + channels) for inputs, channels in shapes)
    assert expected_ratio(network, densities(network, 1, 1)) == pytest.approx(1 + gates / network.dense_macs())
    for ratio in (0.3, 0.42, 0.9):
        found = densities_for_ratio(network, ratio)
        assert found.spatial == found.channel and expected_ratio(network, found) == pytest.approx(ratio)


def test_static_networks_and_other_families_can_be_drawn_too() -> None:
    static = synthesise(spec("none"), images(), partial(densities, spatial=1, channel=1), SEED)
    assert static.record.mac_ratio == 1 and static.record.spatial_dependent is None
    noise = noise_images(16, 32, 1, CIFAR10)
    cifar = synthesise(NetworkSpec(8, "dual"), noise, partial(densities, spatial=0.5, channel=0.5), SEED)
    assert cifar.record.reached.spatial == pytest.approx([0.5] * 3, abs=0.01)


def test_a_drawn_network_says_so_and_its_checkpoint_too(tmp_path: Path) -> None:
    made = drawn()
    assert made.spec == replace(spec(), synthetic=True)
    assert made.spec.name == made.record.network == "synthetic-dgnet-resnet18"
    save_checkpoint(tmp_path / "m.safetensors", made.network, made.spec)
    assert load_checkpoint(tmp_path / "m.safetensors")[1].synthetic


def test_what_cannot_be_drawn_is_said() -> None:
    half = partial(densities, spatial=0.5, channel=0.5)
    with pytest.raises(GatewrightError, match="1 image is too few"):
        synthesise(spec(), images().head(1), half, SEED)
    one = images().head(2)
    alike = ImageSet(np.repeat(one.images[:1], 2, 0), one.labels, one.indices, one.source)
    with pytest.raises(GatewrightError, match="the images for calibration are alike to a gate"):
        synthesise(spec(), alike, half, SEED)
    with pytest.raises(GatewrightError, match="the network takes 64x64 images; these are 32x32"):
        synthesise(spec(), noise_images(4, 32, 1, IMAGENET), half, SEED)
    network = spec("spatial").build()
    with pytest.raises(GatewrightError, match="a network with gates 'spatial' cannot have densities 0.5, 0.4"):
        densities(network, 0.5, 0.4)
    with pytest.raises(GatewrightError, match="a density of 0.01 is not between 0.05 and 1"):
        densities(network, 0.01, 1)
    with pytest.raises(GatewrightError, match="no densities from 0.05 to 1 give a MAC ratio of 0.01"):
        densities_for_ratio(network, 0.01)
    with pytest.raises(GatewrightError, match="without gates has a MAC ratio of 1"):
        densities_for_ratio(spec("none").build(), 0.5)
