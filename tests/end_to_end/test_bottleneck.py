"""Bottleneck blocks with gates: one spatial mask on maps of two sizes, a channel gate that looks at a masked map."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Opcode, Space, Unit, column
from gatewright.contract.trace import first_difference
from gatewright.models.gates.kinds import Gating
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively_bottleneck
from tests.end_to_end.networks import NETWORK_SEED, Case, case_of, forced, only_one
from tests.support.chain import compare_image

GATINGS: tuple[Gating, ...] = ("dual", "spatial", "channel", "bas")
SIZE = 16


@cache
def case(gating: Gating) -> Case:
    return case_of(lively_bottleneck(gating, SIZE, NETWORK_SEED), SIZE)


@pytest.mark.parametrize("preset", ["ultra96", "4x4", "12x20"])
@pytest.mark.parametrize("gating", GATINGS)
def test_every_tensor_and_gate_is_the_references(gating: Gating, preset: str) -> None:
    network, compiler = case(gating), Compiler(case(gating).graph, PRESETS[preset])
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        assert compared.gate_bits == sum(d[0].size for d in network.reference.decisions.values())


@pytest.mark.parametrize("gating", GATINGS)
def test_the_networks_of_these_tests_decide_both_ways(gating: Gating) -> None:
    for name, decided in case(gating).reference.decisions.items():
        assert 0 < decided.mean() < 1, name


FORCED: dict[str, tuple[dict[str, bool], tuple[str, ...]]] = {
    "all on": ({"spatial": True, "channel": True}, ()),
    "all off": ({"spatial": False, "channel": False}, ()),
    "no tile": ({"spatial": False}, ()),
    "no channel": ({"channel": False}, ()),
    "no channel in every tile": ({"channel": False, "spatial": True}, ()),
    "every channel in no tile": ({"channel": True, "spatial": False}, ()),
    "one channel in one tile": ({}, ("channel", "spatial")),
}
"""Gates that are forced by their biases, and kinds of gates that are open for one place."""


@pytest.mark.parametrize("gating", GATINGS)
@pytest.mark.parametrize("name", FORCED)
def test_forced_decisions(name: str, gating: Gating) -> None:
    graph, sample = case(gating).graph, case(gating).inputs[0]
    always, single = FORCED[name]
    for kind, on in always.items():
        graph = forced(graph, kind, on)
    for kind in single:
        graph = only_one(graph, kind, sample)
    reference = run_reference(graph, sample[None], keep=True)
    for preset in ("ultra96", "4x4"):
        compared = compare_image(Compiler(graph, PRESETS[preset]), sample, reference, 0, audit=True)
        assert compared.different == (), f"{preset}: {compared.different} differ"
    if name == "all on":
        dense = run_reference(without_gates(graph), sample[None])
        np.testing.assert_array_equal(reference.logits, dense.logits)


@pytest.mark.parametrize("preset", ["ultra96", "12x20"])
@pytest.mark.parametrize("gating", GATINGS)
def test_the_stepped_model_agrees(gating: Gating, preset: str) -> None:
    network = case(gating)
    compared = compare_image(Compiler(network.graph, PRESETS[preset]), network.inputs[0], network.reference, 0)
    fast, stepped = compared.result, step_simulate(compared.program, fill_seed=1)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.dram, stepped.dram)
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[0])


@cache
def wide_case(gating: Gating, tile: int = 2) -> Case:
    return case_of(lively_bottleneck(gating, SIZE, NETWORK_SEED, channels=32, tile=tile), SIZE)


@pytest.mark.parametrize("gating", GATINGS)
def test_filters_of_convolutions_gated_on_both_sides_are_streamed(gating: Gating) -> None:
    network, arch = wide_case(gating), replace(PRESETS["ultra96"], weight_kib=24)
    compiler = Compiler(network.graph, arch)
    assert compiler.image.banks["layer2.0.conv2"].streamed and compiler.image.banks["layer2.0.conv3"].streamed
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[0])


@pytest.mark.parametrize("name", ["all on", "no channel", "one channel in one tile"])
def test_forced_decisions_where_filters_are_streamed(name: str) -> None:
    graph, sample = wide_case("dual").graph, wide_case("dual").inputs[0]
    always, single = FORCED[name]
    for kind, on in always.items():
        graph = forced(graph, kind, on)
    for kind in single:
        graph = only_one(graph, kind, sample)
    reference = run_reference(graph, sample[None], keep=True)
    compiler = Compiler(graph, replace(PRESETS["ultra96"], weight_kib=24))
    assert compare_image(compiler, sample, reference, 0, audit=True).different == ()


@pytest.mark.parametrize(
    ("gating", "kib", "apart"), [("dual", 36, True), ("spatial", 36, True), ("spatial", 48, False)]
)
def test_maps_in_dram_by_rows(gating: Gating, kib: int, apart: bool) -> None:
    """Gated convolutions read them, and a shortcut, whose rows are those of the tiles of its sum, or parts of them.

    Tiles of the blocks on both sides do not fit one another, so that maps cannot lie tile by tile. What the second
    block's output lies beside is compact with a channel gate, so that it must not overwrite rows that are through.
    """
    network = wide_case(gating, 4)
    compiler = Compiler(network.graph, replace(PRESETS["ultra96"], scratchpad_kib=kib))
    assert "layer2.0.conv1" in compiler.image.by_rows and ("layer2.0.conv3" in compiler.image.apart) == apart
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()


@pytest.mark.parametrize("gating", ["dual", "none"])
def test_parameters_come_with_groups_of_filters_where_the_buffer_does_not_hold_a_layers(gating: Gating) -> None:
    """A layer of 256 filters needs 257 entries."""
    network = wide_case(gating)
    compiler = Compiler(network.graph, replace(PRESETS["ultra96"], parameter_entries=384, weight_kib=24))
    assert "layer2.0.conv3" in compiler.image.group_parameters
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()
    assert first_difference(compared.result.trace, step_simulate(compared.program, fill_seed=1).trace) is None


def test_a_table_from_dram_comes_behind_the_indexes_before_it() -> None:
    """Both write by one port, which has no arbiter."""
    network, arch = wide_case("dual"), replace(PRESETS["ultra96"], weight_kib=24)
    decisions = {name: bits[0] for name, bits in network.reference.decisions.items()}
    code = Compiler(network.graph, arch).compile(decisions, network.inputs[0]).code
    space = column(Opcode.LOAD, "space")
    first = next(n for n, row in enumerate(code) if row[0] == Opcode.LOAD and row[space] == Space.TABLE)
    indexes = int((code[:first, 0] == Opcode.INDEX).sum())
    assert indexes > 0
    assert (Unit.INDEX, indexes) in list(zip(code[first, 1:7:2], code[first, 2:7:2], strict=True))
