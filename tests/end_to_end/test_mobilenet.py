"""Inverted residuals: depthwise convolutions in EPILOGUE and on planes, ReLU6, overlapping bins, ragged tiles."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from torch import nn

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.gates.kinds import Gating
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import GroupedNetwork, lively, lively_mobilenet
from tests.end_to_end.networks import NETWORK_SEED, Case, case_of, forced, only_one
from tests.support.chain import compare_image

LEAN = PRESETS["ultra96-lean"]
"""Without EPILOGUE's kind DEPTHWISE: every depthwise convolution goes over planes."""

GATINGS: tuple[Gating, ...] = ("none", "spatial", "channel", "dual")
SIZE = 28


@cache
def case(gating: Gating) -> Case:
    """Channels that fill planes, and others that do not: 72 expanded ones are four planes and a half."""
    return case_of(lively_mobilenet(gating, SIZE, NETWORK_SEED, channels=24), SIZE)


def agree(network: Case, compiler: Compiler, position: int = 0) -> None:
    """An image's run, audited, is the reference's in every tensor and gate, and the stepped model's in every cycle."""
    compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=True)
    assert compared.different == (), f"{compared.different} differ"
    fast, stepped = compared.result, step_simulate(compared.program, fill_seed=1)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.dram, stepped.dram)
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[position])


@pytest.mark.parametrize("preset", ["ultra96", "ultra96-lean", "4x4", "12x20"])
@pytest.mark.parametrize("gating", GATINGS)
def test_every_tensor_and_gate_is_the_references(gating: Gating, preset: str) -> None:
    network, compiler = case(gating), Compiler(case(gating).graph, PRESETS[preset])
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"


@pytest.mark.parametrize("preset", ["ultra96", "ultra96-lean"])
@pytest.mark.parametrize("gating", GATINGS)
def test_the_stepped_model_agrees(gating: Gating, preset: str) -> None:
    agree(case(gating), Compiler(case(gating).graph, PRESETS[preset]))


def made_in_epilogue(program: Program) -> set[str]:
    """The layers with an EPILOGUE of kind DEPTHWISE."""
    kinds = program.code[:, column(Opcode.EPILOGUE, "kind")]
    chosen = (program.code[:, 0] == Opcode.EPILOGUE) & (kinds == EpilogueKind.DEPTHWISE)
    return {program.layers[number] for number in np.flatnonzero(chosen)}


@pytest.mark.parametrize(("gating", "layers"), [("none", 5), ("channel", 5), ("spatial", 3), ("dual", 3)])
def test_depthwise_convolutions_without_a_spatial_gate_are_epilogues(gating: Gating, layers: int) -> None:
    """The two blocks with a spatial gate go over planes: what lies beside an active tile is not written."""
    graph, decisions = case(gating).graph, case(gating).reference.decisions
    first = {name: decided[0] for name, decided in decisions.items()}
    program, lean = (Compiler(graph, PRESETS[name]).compile(first) for name in ("ultra96", "ultra96-lean"))
    assert len(made_in_epilogue(program)) == layers
    assert not made_in_epilogue(lean)
    assert simulate(program).cycles < simulate(lean).cycles


def test_too_few_parameters_for_a_depthwise_convolution_are_refused() -> None:
    with pytest.raises(GatewrightError, match=r"needs \d+ parameter entries.*set depthwise to false"):
        Compiler(case("none").graph, replace(PRESETS["ultra96"], parameter_entries=256))


def test_gates_decide_both_ways_over_ragged_tiles() -> None:
    decisions = case("dual").reference.decisions
    assert {name: decided.shape[1:] for name, decided in decisions.items() if name.endswith("mask_s")} == {
        "features.3.mask_s": (4, 4),
        "features.4.mask_s": (4, 4),
    }
    assert case("dual").graph.shapes["features.3.conv.2"].height == 7
    assert all(0 < decided.mean() < 1 for decided in decisions.values())


@pytest.mark.parametrize("gating", GATINGS)
def test_macs_are_the_networks(gating: Gating) -> None:
    """A channel gate prunes the expansion's MACs as they are counted, though the machine makes all its channels."""
    network = lively_mobilenet(gating, SIZE, NETWORK_SEED, channels=24)
    assert counted_macs(case(gating).graph, None) == network.dense_macs()
    decisions = {name: decided[0] for name, decided in case(gating).reference.decisions.items()}
    program = Compiler(case(gating).graph, PRESETS["ultra96"]).compile(decisions)
    block = network.blocks()[3]
    channels = int(decisions.get("features.4.mask_c", np.ones(block.hidden)).sum())
    tiles = decisions.get("features.4.mask_s", np.ones((4, 4)))
    pixels = int(np.kron(tiles, np.ones((2, 2)))[:7, :7].sum())
    assert program.macs["features.4.conv.0.0"] == pixels * channels * 24
    assert program.macs["features.4.conv.1.0"] == pixels * channels * 9
    assert program.macs["features.4.conv.2"] == pixels * channels * 24


FORCED: dict[str, tuple[dict[str, bool], tuple[str, ...]]] = {
    "all on": ({"spatial": True, "channel": True}, ()),
    "no tile": ({"spatial": False}, ()),
    "no channel": ({"channel": False}, ()),
    "one channel in one tile": ({}, ("channel", "spatial")),
}
"""Gates that are forced by their biases, and kinds of gates that are open for one place."""


@pytest.mark.parametrize("name", FORCED)
def test_forced_decisions(name: str) -> None:
    graph, sample = case("dual").graph, case("dual").inputs[0]
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


@pytest.mark.parametrize("gating", ["none", "dual"])
def test_filters_of_depthwise_convolutions_are_streamed(gating: Gating) -> None:
    """Plane by plane; a gate picks what has been loaded of a plane. Of the last block, which has no gates, too."""
    compiler = Compiler(case(gating).graph, replace(LEAN, weight_kib=16))
    banks = [compiler.image.banks[f"features.{block}.conv.1.0"] for block in (3, 4, 5)]
    assert all(bank.streamed for bank in banks)
    assert [bank.picked for bank in banks] == [gating == "dual"] * 2 + [False]
    agree(case(gating), compiler)


@pytest.mark.parametrize(
    ("gating", "kib", "blocks", "band"), [("none", 11, 3, 4), ("none", 8, 3, 1), ("dual", 9, 3, 2)]
)
def test_blocks_are_made_by_rows_where_their_maps_do_not_fit(gating: Gating, kib: int, blocks: int, band: int) -> None:
    compiler = Compiler(case(gating).graph, replace(LEAN, scratchpad_kib=kib))
    assert [(len(chain.layers), chain.band) for chain in compiler.image.chains] == [(3, band)] * blocks
    agree(case(gating), compiler)
    in_epilogue = Compiler(case(gating).graph, replace(PRESETS["ultra96"], scratchpad_kib=kib))
    assert in_epilogue.image.chains
    agree(case(gating), in_epilogue)


def test_the_first_blocks_and_the_image_come_by_rows_where_a_map_between_them_does_not_fit() -> None:
    network = case_of(lively_mobilenet("none", 56, NETWORK_SEED, channels=8), 56)
    compiler = Compiler(network.graph, replace(PRESETS["ultra96"], scratchpad_kib=14))
    first = compiler.image.chains[0]
    assert [layer.name for layer in first.layers][::3] == ["features.0.0", "features.2.conv.0.0"]
    assert "input" in compiler.image.ring_bytes
    agree(network, compiler)


@pytest.mark.parametrize("gating", ["dual", "spatial"])
def test_rows_of_tiles_are_cut_where_whole_ones_do_not_fit(gating: Gating) -> None:
    """Tiles of 4: the expansion makes a row of those below ahead, and the last layer waits for whole ones."""
    network = case_of(lively_mobilenet(gating, 48, NETWORK_SEED, channels=16, tile=4), 48)
    compiler = Compiler(network.graph, replace(PRESETS["ultra96"], scratchpad_kib=13))
    assert [(len(chain.layers), chain.cut) for chain in compiler.image.chains] == [(6, False), *[(3, True)] * 3]
    agree(network, compiler)


def test_maps_that_do_not_fit_are_refused_with_the_bytes_that_are_missing() -> None:
    with pytest.raises(GatewrightError, match=r"4 KiB cannot hold tensor .* \d+ bytes are missing; raise scratchpad"):
        Compiler(case("dual").graph, replace(PRESETS["ultra96"], scratchpad_kib=4))


@pytest.mark.parametrize("groups", [2, 4, 8, 32])
def test_grouped_convolutions(groups: int) -> None:
    """From 16 channels of 2 groups, which are planes of their own, to a channel each; twice as many filters out."""
    network = case_of(lively(GroupedNetwork(groups), 5), 16)
    for preset in ("ultra96", "4x4", "12x20"):
        agree(network, Compiler(network.graph, PRESETS[preset]))
    agree(network, Compiler(network.graph, replace(PRESETS["ultra96"], weight_kib=8)))


@pytest.mark.parametrize("gating", ["spatial", "dual"])
def test_residual_networks_over_odd_maps(gating: Gating) -> None:
    """20 pixels: the last stage has maps of 5x5 in tiles of 2, and its gate averages 3x3 overlapping bins of 10x10."""
    network: nn.Module = lively(ResNetCifar(8, gating, size=20), NETWORK_SEED)
    odd = case_of(network, 20)
    assert odd.reference.decisions["layer3.0.mask_s"].shape[1:] == (3, 3)
    for preset in ("ultra96", "4x4"):
        compiler = Compiler(odd.graph, PRESETS[preset])
        for position in range(len(odd.inputs)):
            compared = compare_image(compiler, odd.inputs[position], odd.reference, position, audit=True)
            assert compared.different == (), f"image {position}: {compared.different} differ"
    agree(odd, Compiler(odd.graph, PRESETS["ultra96"]))
