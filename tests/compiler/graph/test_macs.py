"""Multiply-accumulates as the public DGNet release counts them: against the networks' own count in models/."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import ReferenceResult, run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively_resnet, random_images

IMAGES = 3


@cache
def network(gating: Gating) -> tuple[ResNetCifar, QuantisedGraph, ReferenceResult]:
    module = lively_resnet(gating)
    graph = capture(module, (3, 16, 16))
    images = random_images(IMAGES)
    quantised = quantise(graph, calibrate(graph, CIFAR10.normalise(images)))
    return module, quantised, run_reference(quantised, quantise_input(CIFAR10.normalise(images), quantised))


def masks_of(module: ResNetCifar, reference: ReferenceResult, position: int) -> list[BlockMasks]:
    """The reference's decisions in the form that the torch network counts with."""
    masks = []
    for stage in (1, 2, 3):
        spatial = reference.decisions.get(f"layer{stage}.0.mask_s")
        channel = reference.decisions.get(f"layer{stage}.0.mask_c")
        masks.append(
            BlockMasks(
                None if spatial is None else torch.from_numpy(spatial[position])[None, None],
                None if channel is None else torch.from_numpy(channel[position])[None, :, None, None],
            )
        )
    return masks


@pytest.mark.parametrize("gating", ["dual", "spatial", "channel"])
def test_gated_macs_are_the_networks(gating: Gating) -> None:
    module, graph, reference = network(gating)
    for position in range(IMAGES):
        decisions = {name: decided[position] for name, decided in reference.decisions.items()}
        expected = int(module.gated_macs(masks_of(module, reference, position)).item())
        assert counted_macs(graph, decisions) == expected < module.dense_macs() + 10_000


@pytest.mark.parametrize("gating", ["none", "dual", "spatial", "channel"])
def test_dense_macs_have_no_gates(gating: Gating) -> None:
    module, graph, _ = network(gating)
    assert counted_macs(graph, None) == module.dense_macs()
    assert counted_macs(without_gates(graph), None) == module.dense_macs()


@pytest.mark.parametrize("gating", ["none", "dual", "spatial", "channel"])
def test_a_programs_convolutions_do_the_macs_that_are_counted(gating: Gating) -> None:
    module, graph, reference = network(gating)
    convolutions = [layer.name for layer in graph.layers if isinstance(layer, QuantisedConv)]
    gates = sum(block.gate_macs() for block in module.blocks()) if gating != "none" else 0
    for position in range(IMAGES):
        decisions = {name: decided[position] for name, decided in reference.decisions.items()}
        program = Compiler(graph, PRESETS["ultra96"]).compile(decisions)
        done = sum(program.macs[name] for name in convolutions)
        assert done == counted_macs(graph, decisions) - gates - module.fc.weight.numel()
    dense = Compiler(without_gates(graph), PRESETS["ultra96"]).compile({})
    assert sum(dense.macs[name] for name in convolutions) == module.dense_macs() - module.fc.weight.numel()
