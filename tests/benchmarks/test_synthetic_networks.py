"""Synthetic networks whose integer decisions meet a MAC ratio: counted here by the torch network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import synthetic_networks
from benchmarks.synthetic_networks import Aimed, aim_for_ratio, with_densities
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.densities import Densities
from gatewright.models.synthetic.noise import noise_images

IMAGES = noise_images(24, 32, 1, CIFAR10)


def counted(aimed: Aimed) -> torch.Tensor:
    """MACs of every image, from the integer decisions alone."""
    decided = {name: torch.from_numpy(mask) for name, mask in aimed.reference.decisions.items()}
    blocks = [name.removesuffix(".mask_s") for name in decided if name.endswith(".mask_s")]
    masks = [BlockMasks(decided[f"{b}.mask_s"][:, None], decided[f"{b}.mask_c"][:, :, None, None]) for b in blocks]
    return aimed.made.network.gated_macs(masks)


@pytest.mark.parametrize(("ratio", "channel_part", "several"), [(0.42, 0.5, True), (0.6, 0.2, False)])
def test_integer_decisions_meet_the_ratio(
    ratio: float, channel_part: float, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that the first thresholds miss, where many tiles go with many channels."""
    monkeypatch.setattr(synthetic_networks, "TOLERANCE", 0.003)
    aimed = aim_for_ratio(NetworkSpec(8, "dual"), IMAGES, ratio, 5, channel_part)
    assert (aimed.rounds > 1) == several
    assert aimed.macs.tolist() == counted(aimed).tolist() and len(aimed.macs) == 24
    assert aimed.ratio == pytest.approx(float(counted(aimed).double().mean()) / aimed.made.network.dense_macs())
    assert aimed.ratio == pytest.approx(ratio, rel=0.003)
    assert len(np.unique(aimed.macs)) > 12, "images differ"
    assert set(aimed.decisions(3)) == set(aimed.reference.decisions)
    for kind in ("mask_s", "mask_c"):  # equal densities in all blocks, and unequal ones of both kinds
        found = [mask.mean() for name, mask in aimed.reference.decisions.items() if kind in name]
        assert np.ptp(found) < 0.01
        assert (np.mean(found) > 0.8) == (kind == "mask_c" and channel_part < 0.5)


def test_densities_hold_block_by_block_in_integers() -> None:
    aimed = aim_for_ratio(NetworkSpec(8, "dual"), IMAGES, 0.5, 5)
    wanted = Densities((0.3, 1.0, 0.55), (0.8, 0.45, 0.6))
    graph, macs = with_densities(aimed.graph, aimed.inputs, wanted)
    reference = run_reference(graph, aimed.inputs)
    for kind, values in (("mask_s", wanted.spatial), ("mask_c", wanted.channel)):
        masks = [mask for name, mask in reference.decisions.items() if kind in name]
        for mask, density in zip(masks, values, strict=True):
            if density < 1:
                assert mask.mean() == pytest.approx(density, abs=1.5 / mask.size)
    assert macs.tolist() == counted(replace(aimed, reference=reference)).tolist()


def test_blocks_without_gates_are_passed_over() -> None:
    """Of a MobileNetV2 ten blocks have gates, and the first is not one of them."""
    spec = NetworkSpec(53, "dual", classes=10, size=64, family_name="mobilenet-v2")
    aimed = aim_for_ratio(spec, noise_images(16, 64, 1, IMAGENET), 0.7, 5)
    assert aimed.ratio == pytest.approx(0.7, rel=0.01)
    assert sum(name.endswith("mask_c") for name in aimed.reference.decisions) == 10


def test_a_ratio_that_is_not_met_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_networks, "TOLERANCE", 0.003)
    monkeypatch.setattr(synthetic_networks, "ROUNDS", 1)
    with pytest.raises(
        GatewrightError, match=r"synthetic-dgnet-resnet8: integer decisions .* after 1 rounds, not 0.42"
    ):
        aim_for_ratio(NetworkSpec(8, "dual"), IMAGES, 0.42, 5)
