"""The whole chain: a torch network, captured, quantised, compiled and run, equals the integer reference bit by bit."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.contract.arch import PRESETS
from gatewright.contract.trace import first_difference
from gatewright.models.gates.kinds import Gating
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped.machine import step_simulate
from tests.end_to_end.networks import IMAGE_SEED, NETWORK_SEED, Case, captured, forced, only_one
from tests.support.chain import compare_image
from tests.support.shapes import SHAPES

NETWORKS: tuple[tuple[Gating, int], ...] = (
    ("none", 16),
    ("dual", 16),
    ("spatial", 16),
    ("channel", 16),
    ("bas", 16),
    ("dual", 32),
)


@cache
def case(gating: Gating, size: int) -> Case:
    """Captured once for the whole module: that takes seconds."""
    return captured(gating, size)


@pytest.mark.parametrize("preset", SHAPES)
@pytest.mark.parametrize(("gating", "size"), NETWORKS)
def test_every_tensor_and_gate_is_the_references(gating: Gating, size: int, preset: str) -> None:
    print(f"network seed {NETWORK_SEED}, image seed {IMAGE_SEED}")
    network = case(gating, size)
    compiler = Compiler(network.graph, PRESETS[preset])
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        assert compared.gate_bits == sum(d[0].size for d in network.reference.decisions.values())
        placed = {placement.tensor for placement in compared.program.placements}
        assert placed >= {
            layer.output for layer in network.graph.layers if isinstance(layer, QuantisedConv) and layer.relu
        }


@pytest.mark.parametrize(("gating", "size"), [network for network in NETWORKS if network[0] != "none"])
def test_the_networks_of_these_tests_decide_both_ways(gating: Gating, size: int) -> None:
    for name, decided in case(gating, size).reference.decisions.items():
        assert 0 < decided.mean() < 1, name
        assert (decided != decided[0]).any(), f"{name} decides alike for every image"


@pytest.mark.parametrize("preset", SHAPES)
@pytest.mark.parametrize(("gating", "size"), NETWORKS)
def test_the_dense_program_serves_every_image(gating: Gating, size: int, preset: str) -> None:
    network = case(gating, size)
    graph = without_gates(network.graph)
    reference = run_reference(graph, network.inputs, keep=True)
    compiler = Compiler(graph, PRESETS[preset])
    compared = compare_image(compiler, network.inputs[0], reference, 0, audit=True)
    assert compared.different == () and not compared.program.gates
    program = compiler.compile({})
    for sample, logits in zip(network.inputs, reference.logits, strict=True):
        result = simulate(program, sample)
        np.testing.assert_array_equal(result.logits, logits)
        assert result.cycles == compared.result.cycles


def extreme(name: str, network: Case) -> QuantisedGraph:
    """The network with its gates forced by their biases."""
    graph, sample = network.graph, network.inputs[0]
    match name:
        case "all on":
            return forced(forced(graph, "spatial", True), "channel", True)
        case "all off":
            return forced(forced(graph, "spatial", False), "channel", False)
        case "no tile":
            return forced(graph, "spatial", False)
        case "every tile":
            return forced(graph, "spatial", True)
        case "no channel":
            return forced(graph, "channel", False)
        case "no channel in every tile":
            return forced(forced(graph, "channel", False), "spatial", True)
        case "one tile":
            return only_one(graph, "spatial", sample)
        case "one channel":
            return only_one(graph, "channel", sample)
        case "one channel in one tile":
            return only_one(only_one(graph, "channel", sample), "spatial", sample)
    raise AssertionError(name)


EXTREMES = {
    "all on": ({1.0}, {1.0}),
    "all off": ({0.0}, {0.0}),
    "no tile": ({0.0}, None),
    "every tile": ({1.0}, None),
    "no channel": (None, {0.0}),
    "no channel in every tile": ({1.0}, {0.0}),
    "one tile": ({1 / 16, 1 / 4}, None),
    "one channel": (None, {1 / 16, 1 / 32, 1 / 64}),
    "one channel in one tile": ({1 / 16, 1 / 4}, None),
}
"""Densities that the reference must have decided: of spatial gates, of channel gates (None: any)."""


@pytest.mark.parametrize("name", EXTREMES)
def test_forced_decisions(name: str) -> None:
    network = case("dual", 16)
    graph, sample = extreme(name, network), network.inputs[0]
    reference = run_reference(graph, sample[None], keep=True)
    for kind, wanted in zip("sc", EXTREMES[name], strict=True):
        densities = {float(d.mean()) for gate, d in reference.decisions.items() if gate.endswith(f"mask_{kind}")}
        assert densities and (wanted is None or densities <= wanted), "the reference does not decide as the case needs"
    for preset in SHAPES:
        compared = compare_image(Compiler(graph, PRESETS[preset]), sample, reference, 0, audit=True)
        assert compared.different == (), f"{preset}: {compared.different} differ"
    if name == "all on":
        dense = run_reference(without_gates(graph), sample[None])
        np.testing.assert_array_equal(reference.logits, dense.logits)


@pytest.mark.parametrize(
    ("gating", "preset"), [("dual", "8x8"), ("dual", "12x20"), ("dual", "ultra96"), ("channel", "ultra96")]
)
def test_the_stepped_model_agrees_on_a_whole_network(gating: Gating, preset: str) -> None:
    network = case(gating, 16)
    compared = compare_image(Compiler(network.graph, PRESETS[preset]), network.inputs[0], network.reference, 0)
    fast, stepped = compared.result, step_simulate(compared.program)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.dram, stepped.dram)
    np.testing.assert_array_equal(fast.scratchpad, stepped.scratchpad)
    np.testing.assert_array_equal(fast.masks, stepped.masks)
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[0])


def test_what_memories_hold_at_power_on_does_not_matter() -> None:
    network = case("dual", 16)
    compared = compare_image(Compiler(network.graph, PRESETS["ultra96"]), network.inputs[1], network.reference, 1)
    for seed in (1, 2):
        print(f"fill seed {seed}")
        stepped = step_simulate(compared.program, fill_seed=seed)
        np.testing.assert_array_equal(stepped.logits, network.reference.logits[1])
        assert first_difference(compared.result.trace, stepped.trace) is None
