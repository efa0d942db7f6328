"""What a network returns: the maps and logits that its results are, written out in their order."""

from __future__ import annotations

from dataclasses import replace

from torch import fx

from gatewright.compiler.frontend.logit_patterns import DenseChain
from gatewright.compiler.frontend.patterns import (
    FeatureMap,
    OpenConv,
    describe,
)
from gatewright.compiler.frontend.walk import Walk
from gatewright.compiler.graph.graph import FloatLayer, TensorShape
from gatewright.compiler.kinds.classifier import FloatClassifier
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.kinds.output import FloatOutput


def finish(walk: Walk, node: fx.Node, number: int, results: int) -> None:
    """Take one of the program's results: a classifier's logits, or a feature map."""
    walk.where = "the network's result" if results == 1 else f"result {number} of the network"
    value = walk.values[node]
    if isinstance(value, FeatureMap | OpenConv):
        last = len(walk.graph.layers)
        tensor = walk.tensor(value)
        if len(walk.graph.layers) > last:
            _move_up(walk, walk.graph.layers.pop())
        _give(walk, tensor)
        return
    if not isinstance(value, DenseChain) or not value.linear:
        walk.fail(f"it is {describe(value)}; a result is a feature map, or the logits of a linear layer")
    classify(walk, value)


def of_one_bin(walk: Walk, chain: DenseChain) -> str:
    """The map of one pixel that fully connected layers on a global average give, each a 1x1 convolution."""
    tensor = walk.tensor(walk.one_bin(chain.source, walk.graph.shapes[chain.source].channels))
    for layer in chain.layers:
        name = walk.unique(layer.module)
        walk.graph.shapes[name] = TensorShape(len(layer.bias), 1, 1)
        weight = layer.weight[:, None, None, :].copy()
        tensor = walk.tensor(OpenConv(name, tensor, weight, layer.bias, 1, 0, relu=layer.relu, unit=layer.unit))
    return tensor


def classify(walk: Walk, chain: DenseChain) -> None:
    """Give the logits of the last of some fully connected layers on a global average."""
    *hidden, layer = chain.layers
    source = of_one_bin(walk, replace(chain, layers=tuple(hidden))) if hidden else chain.source
    name = walk.unique(layer.module)
    walk.graph.layers.append(FloatClassifier(name, source, name, layer.weight, layer.bias, layer.unit))
    walk.graph.shapes[name] = TensorShape(len(layer.bias), 1, 1)


def _move_up(walk: Walk, conv: FloatLayer) -> None:
    """Put a convolution that nobody reads behind what it needs: nothing has to be kept for it."""
    layers, needed = walk.graph.layers, {*conv.reads}
    needed |= {*conv.gates} if isinstance(conv, FloatConv) else set()
    behind = [number for number, layer in enumerate(layers) if {layer.name, *layer.writes} & needed]
    layers.insert(max(behind, default=-1) + 1, conv)


def _give(walk: Walk, tensor: str) -> None:
    """Return a map, as soon as it is written."""
    layers = walk.graph.layers
    if any(layer.gives == tensor for layer in layers):
        walk.fail(f"the feature map {tensor} is returned twice; return it once")
    place = next(number for number, layer in enumerate(layers) if tensor in layer.writes)
    layers.insert(place + 1, FloatOutput(walk.unique(f"{tensor}.output"), tensor))
