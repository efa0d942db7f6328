"""Maps never overlap in the scratchpad while they are alive."""

from __future__ import annotations

import pytest

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.channel_gate import QuantisedChannelGate
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.allocate import allocate_scratchpad
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from tests.support.graphs import resnet_graph


def sizes(graph: QuantisedGraph) -> dict[str, int]:
    """Bytes of everything that lies in the scratchpad, by what the layers say of themselves."""
    found = {name: s.channels * s.height * s.width for name, s in graph.shapes.items() if not name.endswith(".pooled")}
    for layer in graph.layers:
        if isinstance(layer, Pooling):
            shape = graph.shapes[layer.source]
            found[layer.name] = -(-shape.height // layer.tile) * -(-shape.width // layer.tile) * shape.channels
        elif isinstance(layer, QuantisedChannelGate):
            found[f"{layer.name}.hidden"] = len(layer.hidden_weight)
        elif isinstance(layer, QuantisedClassifier):
            found[layer.output] = 4 * len(layer.weight)
    return found


def uses(graph: QuantisedGraph) -> list[set[str]]:
    """For each layer, what it reads and writes; a pooled map is written along with its source."""
    pooled = {layer.source: layer.name for layer in graph.layers if isinstance(layer, Pooling)}
    follower = {
        layer.residual: layer.output for layer in graph.layers if isinstance(layer, QuantisedConv) and layer.residual
    }
    touched = []
    for layer in graph.layers:
        match layer:
            case QuantisedConv():
                names = {layer.source, layer.output, layer.residual, pooled.get(layer.output)}
                if not layer.relu:  # a shortcut finishes and pools the inactive tiles of the block's output
                    names.add(pooled.get(follower[layer.output]))
            case Pooling():
                names = {layer.source, layer.name}
            case QuantisedSpatialGate():
                names = {layer.source}
            case QuantisedChannelGate():
                names = {layer.source, f"{layer.name}.hidden"}
            case QuantisedClassifier():
                names = {layer.source, layer.output}
        touched.append({name for name in names if name})
    return touched


def shared(graph: QuantisedGraph) -> dict[str, str]:
    """Tensors that are one place on purpose: a residual and the sum that is made in place, and their pooled maps."""
    root: dict[str, str] = {}
    pooled = {layer.source: layer.name for layer in graph.layers if isinstance(layer, Pooling)}
    for layer in graph.layers:
        if isinstance(layer, QuantisedConv) and layer.residual:
            root[layer.output] = root.get(layer.residual, layer.residual)
            if layer.residual in pooled and layer.output in pooled:
                before = pooled[layer.residual]
                root[pooled[layer.output]] = root.get(before, before)
    return root


@pytest.mark.parametrize(("depth", "gated", "size"), [(8, True, 16), (20, True, 32), (20, False, 32), (14, True, 48)])
def test_tensors_alive_at_the_same_time_do_not_overlap(depth: int, gated: bool, size: int) -> None:
    graph = resnet_graph(depth, gated, size)
    addresses = allocate_scratchpad(graph, ArchConfig(), 3 * size * size).addresses
    bytes_of, touched, root = sizes(graph), uses(graph), shared(graph)
    for number, layer in enumerate(graph.layers):
        digits = f"{layer.name}.digits"
        if digits in addresses:  # a sum over the layer's source, two bytes a channel
            assert isinstance(layer, QuantisedChannelGate | QuantisedClassifier)
            weight = layer.weight if isinstance(layer, QuantisedClassifier) else layer.hidden_weight
            bytes_of[digits] = 2 * weight.shape[1]
            touched[number].add(digits)
    assert set(addresses) == set(bytes_of)
    lives: dict[str, tuple[int, int]] = {graph.input: (-1, -1)}
    for number, names in enumerate(touched):
        for name in names:
            lives[name] = min(lives.get(name, (number,))[0], number), number
    compared = 0
    for a in bytes_of:
        assert addresses[a] >= 64 and addresses[a] + bytes_of[a] + 64 <= ArchConfig().scratchpad_bytes
        for b in bytes_of:
            if a < b and lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]:
                if root.get(a, a) == root.get(b, b):
                    assert addresses[a] == addresses[b]
                    continue
                compared += 1
                assert addresses[a] + bytes_of[a] <= addresses[b] or addresses[b] + bytes_of[b] <= addresses[a], (
                    f"{a} and {b} overlap"
                )
    assert compared > len(graph.layers)


def test_a_scratchpad_that_is_too_small_names_the_tensor() -> None:
    with pytest.raises(
        GatewrightError, match="arch mine: the scratchpad of 16 KiB cannot hold tensor .*raise scratchpad_kib"
    ):
        allocate_scratchpad(resnet_graph(8), ArchConfig(name="mine", scratchpad_kib=16), 3 * 32 * 32)
