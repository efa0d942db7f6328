"""Captured and quantised small networks, and biases that force their gates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import nn

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.reference import ReferenceResult, run_reference
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.channel_gate import QuantisedChannelGate
from gatewright.compiler.kinds.linear_gate import QuantisedLinearGate
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively_resnet, random_images

NETWORK_SEED, IMAGE_SEED, IMAGES = 41, 32, 5
ALWAYS = 1 << 28
"""A bias beyond every logit of these networks, and far from the end of int32."""

KINDS = {"spatial": QuantisedSpatialGate, "channel": QuantisedAverageGate}


@dataclass(frozen=True)
class Case:
    """A quantised network, some inputs int8 [N, H, W, 3] and what the reference makes of them."""

    graph: QuantisedGraph
    inputs: npt.NDArray[np.int8]
    reference: ReferenceResult


def captured(gating: Gating, size: int) -> Case:
    """A random ResNet-8 through capture, calibration and quantisation."""
    return case_of(lively_resnet(gating, size, NETWORK_SEED), size)


def case_of(network: nn.Module, size: int) -> Case:
    """A network for CIFAR images of ``size`` pixels; the last two inputs are extreme."""
    graph = capture(network, (3, size, size))
    images = random_images(IMAGES, size, IMAGE_SEED)
    quantised = quantise(graph, calibrate(graph, CIFAR10.normalise(images)))
    inputs = quantise_input(CIFAR10.normalise(images), quantised)
    extremes = np.stack([np.full(inputs.shape[1:], value, np.int8) for value in (-128, 127)])
    inputs = np.concatenate([inputs, extremes])
    return Case(quantised, inputs, run_reference(quantised, inputs, keep=True))


def shifted(graph: QuantisedGraph, biases: dict[str, int]) -> QuantisedGraph:
    """The graph with numbers added to the biases of some gates."""
    layers = list(graph.layers)
    for number, layer in enumerate(layers):
        if isinstance(layer, QuantisedSpatialGate) and layer.name in biases:
            layers[number] = replace(layer, bias=layer.bias + biases[layer.name])
        if isinstance(layer, QuantisedChannelGate | QuantisedLinearGate) and layer.name in biases:
            layers[number] = replace(layer, bias=layer.bias + biases[layer.name])
    return replace(graph, layers=layers)


def forced(graph: QuantisedGraph, kind: str, on: bool) -> QuantisedGraph:
    """All gates of a kind open, or all closed."""
    names = [layer.name for layer in graph.layers if isinstance(layer, KINDS[kind])]
    return shifted(graph, dict.fromkeys(names, ALWAYS if on else -ALWAYS))


def only_one(graph: QuantisedGraph, kind: str, sample: npt.NDArray[np.int8]) -> QuantisedGraph:
    """Gates of a kind open for exactly one tile, or channel, of this sample: the one with the largest logit."""
    for layer in graph.layers:
        if not isinstance(layer, KINDS[kind]):
            continue
        low, high = -ALWAYS, ALWAYS  # closed, open
        while high - low > 1:
            middle = (low + high) // 2
            decided = run_reference(shifted(graph, {layer.name: middle}), sample[None]).decisions[layer.name]
            low, high = (low, middle) if decided.any() else (middle, high)
        graph = shifted(graph, {layer.name: high})
    decisions = run_reference(graph, sample[None]).decisions
    for layer in graph.layers:
        if isinstance(layer, KINDS[kind]):
            assert decisions[layer.name].sum() == 1, f"{layer.name}: two logits are equal; use another seed"
    return graph
