"""Detectors: the maps of every level, gated backbones, filters that levels share, maps in DRAM."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.resnet_imagenet.network import ResNetImageNet
from gatewright.models.families.retinanet import RetinaNet
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively, lively_resnet
from tests.end_to_end.networks import Case, case_of
from tests.support.chain import compare_image

SIZE, CLASSES, WIDTH, CONVOLUTIONS = 32, 3, 12, 2
SMALL = replace(PRESETS["8x8"], scratchpad_kib=16, weight_kib=16, patch_kib=8)
"""Of a machine that does not hold a level's maps."""


@cache
def case(gating: Gating) -> Case:
    torch.manual_seed(7)
    network = RetinaNet(lively_resnet(gating, SIZE), CLASSES, WIDTH, CONVOLUTIONS)
    return case_of(lively(network, 9), SIZE)


def agree(network: Case, arch: ArchConfig, position: int, audit: bool = False) -> Compiler:
    """An image's maps and gates are the reference's; returns the compiler."""
    compiler = Compiler(network.graph, arch)
    compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=audit)
    assert compared.different == (), f"image {position}: {compared.different} differ"
    return compiler


@pytest.mark.parametrize("preset", ["8x8", "ultra96"])
@pytest.mark.parametrize("gating", ["none", "dual"])
def test_every_map_of_every_level_is_the_references(gating: Gating, preset: str) -> None:
    network = case(gating)
    for position in (0, 1, len(network.inputs) - 1):
        compiler = agree(network, PRESETS[preset], position, audit=position == 0)
    shapes = [(output.height, output.width, output.channels) for output in compiler.image.outputs.values()]
    edges = (SIZE, SIZE // 2, SIZE // 4, SIZE // 8, SIZE // 16)
    wanted = [(edge, edge, channels) for edge in edges for channels in (9 * CLASSES, 36)]
    assert sorted(shapes) == sorted(wanted)


@pytest.mark.parametrize("gating", ["none", "dual"])
def test_maps_that_do_not_fit_lie_in_dram_and_are_returned_from_there(gating: Gating) -> None:
    network = case(gating)
    compiler = agree(network, SMALL, 1, audit=True)
    kinds = {output.region.kind for output in compiler.image.outputs.values()}
    assert kinds == {"map", "output"}
    if gating == "none":  # what is upsampled comes in a ring, too
        assert "fpn.inner_blocks.1" in compiler.image.spilled


def test_levels_share_the_filters_of_their_heads() -> None:
    regions = {r.name: r for r in Compiler(case("none").graph, PRESETS["8x8"]).image.regions if r.kind == "weights"}
    for name in ("classification_head.conv.0", "regression_head.out", "classification_head.out"):
        same = {regions[level].address for level in (name, *(f"{name}#{level}" for level in range(2, 6)))}
        assert len(same) == 1, name
    apart = {region.address for name, region in regions.items() if "#" not in name}
    assert len(apart) == sum("#" not in name for name in regions)


def test_a_pyramid_of_odd_maps_is_refused() -> None:
    with pytest.raises(GatewrightError, match="maps are of 13x13, 7x7, 4x4 pixels; a pyramid needs maps"):
        RetinaNet(ResNetImageNet(18, size=100))
