"""Blocks are what gates decide about together; their MACs are counted by hand, from shapes and masks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatewright.compiler.graph.blocks import gated_blocks, macs_by_block
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.serving import serving_gates, without_gates
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively_bottleneck, lively_resnet
from tests.end_to_end.networks import case_of
from tests.support.exits import GatedWithExit, exits_case, one_for_each
from tests.support.exported import gated

SHAPES = {"layer1.0": (16, 16, 16), "layer2.0": (16, 32, 8), "layer3.0": (32, 64, 4)}
"""Of the blocks of a ResNet-8 for 16x16 images: channels that come in and go out, edge of the maps between."""


@cache
def graph_of(gating: Gating) -> QuantisedGraph:
    return case_of(lively_resnet(gating), 16).graph


def drawn(graph: QuantisedGraph, seed: int) -> Decisions:
    """What no image makes gates decide, perhaps: every bit is on or off by a coin."""
    rng = np.random.default_rng(seed)
    gates = [layer for layer in graph.layers if isinstance(layer, QuantisedGate)]
    return {gate.name: rng.random(gate.decision_shape) < 0.5 for gate in gates}


@pytest.mark.parametrize("gating", ["dual", "bas", "skip"])
def test_macs_of_residual_blocks_are_those_of_their_masks(gating: Gating) -> None:
    graph = graph_of(gating)
    blocks, dense = gated_blocks(graph), macs_by_block(graph, gated_blocks(graph), None)
    assert [one.name for one in blocks] == [name for name in SHAPES if gating != "skip" or name != "layer1.0"]
    assert [gate for one in blocks for gate in one.gates] == list(drawn(graph, 0))
    for seed in range(20):
        decisions = drawn(graph, seed)
        macs = macs_by_block(graph, blocks, decisions)
        for one in blocks:
            incoming, channels, edge = SHAPES[one.name]
            own = [decided for name, decided in decisions.items() if name.startswith(f"{one.name}.mask_")]
            tiles = next((decided for decided in own if decided.ndim == 2), np.ones((1, 1), np.bool_))
            on = next((int(decided.sum()) for decided in own if decided.ndim == 1), channels)
            pixels = int(tiles.sum()) * edge * edge // tiles.size
            shortcut = 0 if incoming == channels else edge * edge * incoming * channels
            assert macs[one.name] == pixels * 9 * on * (incoming + channels) + shortcut, f"seed {seed}"
            assert dense[one.name] == edge * edge * 9 * channels * (incoming + channels) + shortcut


def test_a_bottleneck_with_two_channel_gates_is_one_block() -> None:
    blocks = gated_blocks(case_of(lively_bottleneck("channel"), 16).graph)
    assert [one.name for one in blocks] == ["layer1.0", "layer2.0", "layer2.1"]
    first = blocks[0]
    assert {name.removeprefix("layer1.0.") for name in first.layers} == {"conv1", "conv2", "conv3", "downsample.0"}
    assert len(first.gates) == 2


def test_blocks_gates_and_the_rest_are_all_that_is_counted() -> None:
    graph = graph_of("dual")
    blocks, decisions = gated_blocks(graph), drawn(graph, 1)
    within = {name for one in blocks for name in one.layers}
    rest = [layer for layer in graph.layers if layer.name not in within]
    assert {layer.name for layer in rest} - serving_gates(graph) == {"conv1", "fc"}
    others = sum(layer.macs(graph, decisions) for layer in rest)
    assert sum(macs_by_block(graph, blocks, decisions).values()) + others == counted_macs(graph, decisions)


def test_what_lies_behind_an_exit_counts_for_those_who_get_there() -> None:
    case = exits_case()
    blocks = gated_blocks(case.graph)
    first, second = (64 * 9 * 32 * 48 + 64 * 16 * 32, 16 * 9 * 64 * 96 + 16 * 32 * 64 + 64 * 10)
    assert [one.name for one in blocks] == ["behind exits.0.fc", "behind exits.1.fc"] and not blocks[0].gates
    assert list(macs_by_block(case.graph, blocks, None).values()) == [first, second]
    for position, expected in zip(
        one_for_each(case.reference.taken), ([0, 0], [first, 0], [first, second]), strict=True
    ):
        decisions = case.reference.decisions_of(position)
        assert list(macs_by_block(case.graph, blocks, decisions).values()) == expected


def test_gates_behind_an_exit_have_blocks_of_their_own() -> None:
    case = case_of(GatedWithExit("aig"), 16)
    blocks, left = gated_blocks(case.graph), one_for_each(case.reference.taken)
    names = [one.name.removeprefix("network.") for one in blocks]
    assert names[:1] == ["layer1.0"] and {"layer2.0", "layer3.0"} <= set(names)
    macs = [macs_by_block(case.graph, blocks, case.reference.decisions_of(position)) for position in left]
    assert not any(value for name, value in macs[0].items() if "layer1" not in name)
    assert any(value for name, value in macs[-1].items() if "layer1" not in name)


class Chain(nn.Module):
    """Two convolutions in a row, each with a channel gate of its own on what comes in; no module but the network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
        self.first, self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        for layer, gate in ((self.one, self.first), (self.two, self.second)):
            x = layer(x).relu() * (gate(x.mean((2, 3))) >= 0).float()[:, :, None, None]
        logits: Tensor = self.head(self.last(x).mean((2, 3)))
        return logits


def test_networks_of_one_module_have_blocks_too() -> None:
    torch.manual_seed(1)
    graph = case_of(Chain().eval(), 12).graph
    assert [(one.name, one.layers) for one in gated_blocks(graph)] == [
        ("one", ("one",)),
        ("two to last", ("two", "last")),
    ]
    own = gated_blocks(case_of(gated(), 8).graph)
    assert [(one.name, one.layers) for one in own] == [("body to second", ("body", "second"))]


def test_a_network_without_gates_has_none() -> None:
    graph = without_gates(graph_of("dual"))
    assert gated_blocks(graph) == () and macs_by_block(graph, (), {}) == {}
