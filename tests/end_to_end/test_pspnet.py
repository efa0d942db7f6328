"""Pyramid pooling on dilated networks: levels of bins, upsampling, concatenations that are read where they lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.macs import counted_macs
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.trace import first_difference
from gatewright.models.gates.kinds import Gating
from gatewright.sim.stepped import step_simulate
from tests.end_to_end.networks import Case
from tests.support.chain import Comparison, compare_image
from tests.support.segmentation import SIZE, pspnet, pspnet_case, wide_case

CHANNELS = {"basic": 16, "bottleneck": 8}
SMALL = replace(PRESETS["8x8"], scratchpad_kib=11, weight_kib=4, patch_kib=8)
"""Where levels lie in DRAM row by row, and a group of the head's filters does not fit the weight buffer."""


def agree(network: Case, arch: ArchConfig, position: int, audit: bool = False) -> tuple[Compiler, Comparison]:
    """An image's tensors and gates are the reference's."""
    compiler = Compiler(network.graph, arch)
    compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=audit)
    assert compared.different == (), f"image {position}: {compared.different} differ"
    return compiler, compared


@pytest.mark.parametrize("preset", ["ultra96", "8x8", "12x20"])
@pytest.mark.parametrize("gating", ["none", "dual"])
@pytest.mark.parametrize("kind", CHANNELS)
def test_every_tensor_is_the_references(kind: str, gating: Gating, preset: str) -> None:
    network = pspnet_case(kind, gating, CHANNELS[kind])
    for position in (0, len(network.inputs) - 1):
        compiler, _ = agree(network, PRESETS[preset], position, audit=position == 0)
    (output,) = compiler.image.outputs.values()
    assert (output.height, output.width, output.channels) == (12, 12, 5)


@pytest.mark.parametrize("gating", ["none", "dual"])
def test_levels_in_dram_and_filters_that_come_for_each_chunk(gating: Gating) -> None:
    network = pspnet_case("basic", gating, 16)
    compiler, compared = agree(network, SMALL, 1, audit=True)
    assert "ppm.reduce.0.upsampled" in compiler.image.spilled and compiler.image.banks["conv"].returns
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(stepped.outputs["scores"], network.reference.outputs["scores"][1])


@pytest.mark.parametrize(("scratchpad", "ring"), [(14, 16), (9, 12), (8, 10)])
def test_convolutions_that_reach_far_go_over_maps_in_dram(scratchpad: int, ring: int) -> None:
    arch = replace(PRESETS["8x8"], scratchpad_kib=scratchpad, weight_kib=8, patch_kib=4)
    compiler, compared = agree(wide_case(), arch, 0, audit=True)
    assert compiler.image.row_rings["convs.3", "convs.3"].ring == ring
    if ring == 12:
        stepped = step_simulate(compared.program, fill_seed=1)
        assert first_difference(compared.result.trace, stepped.trace) is None


def test_scores_times_their_scale_are_what_the_network_computes() -> None:
    network, module = pspnet_case("basic", "none", 16), pspnet("basic", "none", 16)
    images = network.inputs[:3].transpose(0, 3, 1, 2).astype(np.float32) * network.graph.input_scale
    floats = run_float(capture(module, (3, SIZE, SIZE)), images).outputs["scores"]
    with torch.no_grad():
        np.testing.assert_allclose(floats, module(torch.from_numpy(images)).numpy(), atol=1e-4)
    scale = network.graph.scales["scores"]
    error = network.reference.outputs["scores"][:3] * scale - floats.transpose(0, 2, 3, 1)
    assert np.sqrt((error**2).mean()) < 0.1 * floats.std()


def test_macs_are_those_of_the_convolutions() -> None:
    """Averages and upsampling multiply nothing that is counted."""
    graph = pspnet_case("basic", "none", 16).graph
    last, head = 12 * 12, (32 + 4 * 8)
    pyramid = (1 + 4 + 9 + 36) * 32 * 8
    blocks = 24 * 24 * (27 * 16 + 2 * 9 * 16 * 16) + last * (9 * 16 * 32 + 16 * 32 + 3 * 9 * 32 * 32)
    assert counted_macs(graph, None) == blocks + pyramid + last * (9 * head * 12 + 12 * 5)
