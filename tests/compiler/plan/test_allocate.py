"""Regions never overlap while they are alive, in the rings and in the scratchpad."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.channel_gate import QuantisedChannelGate
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.allocate import Ring, allocate_scratchpad
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from tests.support.graphs import resnet_graph

steps = st.lists(st.tuples(st.booleans(), st.integers(1, 300)), min_size=1, max_size=80)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 40), steps)
def test_live_regions_of_a_ring_never_overlap(size: int, steps: list[tuple[bool, int]]) -> None:
    ring, used, refused = Ring(16 * size, "buffer"), np.zeros(16 * size, int), 0
    alive: dict[str, tuple[int, int]] = {}
    for number, (take, words) in enumerate(steps):
        if take and words <= 16 * size:
            base = ring.take(str(number), words)
            if base is None:
                refused += 1
                assert alive, "an empty ring has room"
                continue
            assert base % 4 == 0, "instructions name regions in units of 4 words"
            assert (used[base : base + words] == 0).all() and base + words <= 16 * size
            used[base : base + words] = 1
            alive[str(number)] = base, words
        elif alive:
            name = list(alive)[words % len(alive)]
            base, words = alive.pop(name)
            used[base : base + words] = 0
            ring.release(name)


@settings(deadline=None, max_examples=200)
@given(st.integers(2, 40), st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_a_ring_finds_room_once_the_oldest_give_way(size: int, requests: list[int]) -> None:
    ring = Ring(16 * size, "buffer")
    alive: list[str] = []
    for number, words in enumerate(requests):
        if words > 16 * size:
            continue
        while ring.place(words, ring.live) is None:
            ring.release(alive.pop(0))
        promised = ring.place(words, ring.live)
        assert ring.take(str(number), words) == promised
        alive.append(str(number))


def test_a_region_larger_than_the_ring_is_an_error() -> None:
    with pytest.raises(GatewrightError, match="a chunk of conv1 needs 48 words of the patch buffer, which has 32"):
        Ring(32, "patch buffer").take("a chunk of conv1", 33)


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


def test_room_is_left_where_no_group_could_lie() -> None:
    ring = Ring(1024, "weight buffer")
    for name in ("first", "second"):
        assert ring.take(name, 400) is not None
    assert ring.leaves_room(400, 160, [])  # behind both: two groups find room all the same
    assert not ring.leaves_room(400, 240, [])  # there is no room at all now
    ring.release("first")
    assert not ring.leaves_room(320, 160, [])  # of three groups two would find room
