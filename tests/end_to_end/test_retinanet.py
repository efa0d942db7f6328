"""Detectors: the maps of every level, gated backbones, filters that levels share, maps in DRAM."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit import matrix, windows
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode, column
from gatewright.contract.trace import first_difference
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.resnet_imagenet.network import ResNetImageNet
from gatewright.models.families.retinanet import RetinaNet
from gatewright.models.gates.kinds import Gating
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively, lively_imagenet, lively_resnet
from tests.end_to_end.networks import Case, case_of
from tests.support.chain import compare_image

SIZE, CLASSES, WIDTH, CONVOLUTIONS = 32, 3, 12, 2
SMALL = replace(PRESETS["8x8"], weight_kib=16, patch_kib=8)
"""Of a machine that does not hold a level's maps."""


@cache
def case(gating: Gating) -> Case:
    torch.manual_seed(7)
    network = RetinaNet(lively_resnet(gating, SIZE), CLASSES, WIDTH, CONVOLUTIONS)
    return case_of(lively(network, 9), SIZE)


@cache
def pooled_case(gating: Gating, block: type[BasicBlock | Bottleneck] = BasicBlock) -> Case:
    """A detector on a network with a max pool, and with few channels."""
    torch.manual_seed(7)
    channels = 8 if block is BasicBlock else 4
    network = RetinaNet(lively_imagenet(gating, 2 * SIZE, channels, block=block), 2, 8, 1)
    return case_of(lively(network, 9), 2 * SIZE)


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


@pytest.mark.parametrize(("gating", "kib"), [("none", 10), ("none", 16), ("dual", 16)])
def test_maps_that_do_not_fit_lie_in_dram_and_are_returned_from_there(gating: Gating, kib: int) -> None:
    network = case(gating)
    compiler = agree(network, replace(SMALL, scratchpad_kib=kib), 1, audit=True)
    kinds = {output.region.kind for output in compiler.image.outputs.values()}
    assert kinds == {"map", "output"}
    if kib == 10:  # what is upsampled comes in a ring, too
        assert "fpn.inner_blocks.1" in compiler.image.spilled


@pytest.mark.parametrize(("gating", "kib"), [("none", 5), ("dual", 6)])
def test_a_max_pools_map_that_does_not_fit_lies_in_dram_by_rows(gating: Gating, kib: int) -> None:
    network = pooled_case(gating)
    compiler = agree(network, replace(SMALL, scratchpad_kib=kib), 1, audit=True)
    rings = [ring.layers[0] for ring in compiler.image.spills["backbone.conv1.max_pool"].rings]
    assert rings[:4] == ["backbone.conv1", *(f"backbone.{name}.conv1" for name in ("layer1.0", "layer1.1", "layer2.0"))]


def test_maps_of_more_pixels_than_an_instruction_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as 400x400: where rows are further than that an instruction has a map that begins further down."""
    for module in (matrix, windows):
        monkeypatch.setattr(module, "MOST_TILES", 150)  # of maps of up to 32x32
    network = pooled_case("none")
    compiler = Compiler(network.graph, replace(SMALL, scratchpad_kib=5))
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()
    for opcode in (Opcode.GATHER, Opcode.EPILOGUE):
        rows = compared.program.code[compared.program.code[:, 0] == opcode]
        first, count = (rows[:, column(opcode, name)] for name in ("first_tile", "tile_count"))
        assert (first + count).max() <= 150
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    for output, values in network.reference.outputs_of(0).items():
        np.testing.assert_array_equal(stepped.outputs[output], values, err_msg=output)


@pytest.mark.parametrize("gating", ["none", "dual"])
def test_bottleneck_blocks_whose_maps_others_read_go_by_rows(gating: Gating) -> None:
    compiler = agree(pooled_case(gating, Bottleneck), replace(SMALL, scratchpad_kib=5), 1, audit=True)
    assert {"backbone.layer1.0.conv3", "backbone.layer2.0.conv3"} <= compiler.image.spilled.keys()


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
