"""Depthwise convolutions beside their neighbours: in every order the bytes are the reference's, and nothing races.

The order is forced: which one the compiler would choose is a matter of cycles alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from torch import nn

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.plan import chain_choice
from gatewright.compiler.plan.chains import Chain
from gatewright.compiler.plan.residency import residency
from gatewright.compiler.plan.side_by_side import Order, places, rounds
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.isa import EpilogueKind, Opcode, column
from gatewright.contract.trace import first_difference
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.mobilenet_v2.network import MobileNetV2
from gatewright.models.gates.kinds import Gating
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively, lively_mobilenet, random_images
from tests.end_to_end.networks import IMAGE_SEED, NETWORK_SEED, Case, case_of
from tests.support.chain import compare_image

ULTRA96 = PRESETS["ultra96"]


@cache
def case(gating: Gating = "none", size: int = 28, channels: int = 24, last: int = 40, classes: int = 10) -> Case:
    """Blocks with 8 to 96 channels inside, in maps of half of ``size`` and of a quarter."""
    network = lively_mobilenet(gating, size, NETWORK_SEED, channels=channels, last=last, classes=classes)
    return case_of(network, size)


def forced(
    monkeypatch: pytest.MonkeyPatch, graph: QuantisedGraph, arch: ArchConfig, order: Order, rows: int, share: int = 0
) -> Compiler:
    """A compiler that prefers an order, by so many rows, with ``share`` channels of each chain on the array."""

    def cycles(chain: Chain, arch: ArchConfig) -> int:
        wanted = chain.order == order and (order == Order.BY_CHANNELS or chain.rows == rows)
        return 1000 * (not wanted) + abs(share - sum(chain.share.values()))

    monkeypatch.setattr(chain_choice, "chain_cycles", cycles)
    return Compiler(graph, arch)


def orders(compiler: Compiler) -> list[tuple[Order, int, int]]:
    """(order, layers, channels on the array) of every chain."""
    image = compiler.image
    found = [*image.chains, *{id(chain): chain for chain in image.by_channels.values()}.values()]
    return [(chain.order, len(chain.layers), sum(chain.share.values())) for chain in found]


def agree(network: Case, compiler: Compiler, positions: int = 1) -> None:
    """Images' runs, audited, are the reference's in every tensor, and the stepped model's in every cycle."""
    print(f"network seed {NETWORK_SEED}")
    for position in range(positions):
        compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(compared.result.dram, stepped.dram)
    assert residency(compiler.image, compared.program).layers


@pytest.mark.parametrize(
    ("order", "rows"), [(Order.IN_PHASES, 1), (Order.IN_PHASES, 2), (Order.SIDE_BY_SIDE, 1), (Order.SIDE_BY_SIDE, 3)]
)
def test_rows_side_by_side(monkeypatch: pytest.MonkeyPatch, order: Order, rows: int) -> None:
    """Maps of 18 and 9 rows, one made with a step of 2: 9 rows are no whole number of bands of 2."""
    network = case(size=36)
    compiler = forced(monkeypatch, network.graph, ULTRA96, order, rows)
    assert {made for made, *_ in orders(compiler)} == {order}
    assert len(orders(compiler)) == 5
    agree(network, compiler)


@pytest.mark.parametrize("gating", ["channel", "dual"])
def test_rows_side_by_side_with_gates(monkeypatch: pytest.MonkeyPatch, gating: Gating) -> None:
    """Maps of active channels in rings; a block with a spatial gate has its depthwise convolution on the array."""
    network = case(gating)
    compiler = forced(monkeypatch, network.graph, ULTRA96, Order.SIDE_BY_SIDE, 2)
    assert Order.SIDE_BY_SIDE in {made for made, *_ in orders(compiler)}
    agree(network, compiler, positions=3)


@pytest.mark.parametrize(("order", "kib"), [(Order.IN_PHASES, 14), (Order.SIDE_BY_SIDE, 16)])
def test_the_first_blocks_in_one(monkeypatch: pytest.MonkeyPatch, order: Order, kib: int) -> None:
    """Six layers and the image row by row, where the maps between them do not fit."""
    network = case(size=56, channels=8)
    compiler = forced(monkeypatch, network.graph, replace(ULTRA96, scratchpad_kib=kib), order, 1)
    assert orders(compiler)[0] == (order, 6, 0)
    assert "input" in compiler.image.ring_bytes
    agree(network, compiler)


@pytest.mark.parametrize(
    ("preset", "order"),
    [("ultra96", Order.IN_PHASES), ("ultra96", Order.SIDE_BY_SIDE), ("4x4", Order.SIDE_BY_SIDE)],
)
def test_a_share_of_the_channels_on_the_array(monkeypatch: pytest.MonkeyPatch, order: Order, preset: str) -> None:
    """Blocks whose slices lie 3 and 6 apart in the reduction, 12 and 24 on 4x4, and one of few channels."""
    network = case(size=12, channels=8) if preset == "4x4" else case(size=36)
    arch = PRESETS[preset]
    compiler = forced(monkeypatch, network.graph, arch, order, 2, share=2 * arch.columns)
    assert 2 * arch.columns in {share for *_, share in orders(compiler)}
    agree(network, compiler)
    program = compiler.compile({})
    rows = program.code[np.array(program.layers) == "features.3.conv.1.0"]
    assert {Opcode.MATMUL, Opcode.EPILOGUE} <= set(rows[:, 0].tolist())
    kinds = rows[rows[:, 0] == Opcode.EPILOGUE][:, column(Opcode.EPILOGUE, "kind")]
    assert {EpilogueKind.STORE, EpilogueKind.DEPTHWISE} <= set(kinds.tolist())


@pytest.mark.parametrize("weight_kib", [128, 8])
@pytest.mark.parametrize("size", [28, 36])
def test_channels_in_the_wake_of_the_expansion(monkeypatch: pytest.MonkeyPatch, size: int, weight_kib: int) -> None:
    """Filters that stay, and that come block by block with their parameters; 72 channels are four blocks and a half."""
    network = case(size=size)
    compiler = forced(monkeypatch, network.graph, replace(ULTRA96, weight_kib=weight_kib), Order.BY_CHANNELS, 0)
    assert {made for made, *_ in orders(compiler)} == {Order.BY_CHANNELS}
    streamed = [compiler.image.banks[f"features.{block}.conv.0.0"].streamed for block in (3, 4, 5)]
    assert streamed == [weight_kib == 8] * 3
    agree(network, compiler)


@pytest.mark.parametrize("preset", ["4x4", "12x20"])
def test_channels_in_the_wake_on_other_arrays(monkeypatch: pytest.MonkeyPatch, preset: str) -> None:
    """Slices of 4 and 12 channels, blocks of 4 and 20."""
    network = case(size=12, channels=8)
    compiler = forced(monkeypatch, network.graph, PRESETS[preset], Order.BY_CHANNELS, 0)
    assert Order.BY_CHANNELS in {made for made, *_ in orders(compiler)}
    agree(network, compiler)


def test_parameters_that_come_in_groups_leave_room_for_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """151 entries of the classifier do not fit beside room for groups in 256: nothing goes by channels."""
    network = case(size=12, channels=8, last=36, classes=150)
    arch = replace(PRESETS["4x4"], weight_kib=2)
    assert Order.BY_CHANNELS in {
        order for order, *_ in orders(forced(monkeypatch, network.graph, arch, Order.BY_CHANNELS, 0))
    }
    small = forced(monkeypatch, network.graph, replace(arch, parameter_entries=256), Order.BY_CHANNELS, 0)
    assert Order.BY_CHANNELS not in {order for order, *_ in orders(small)}
    agree(network, small)


@pytest.mark.parametrize(("preset", "weight_kib"), [("ultra96", 16), ("12x20", 16), ("4x4", 2)])
def test_a_classifier_in_the_wake_of_the_last_convolution(preset: str, weight_kib: int) -> None:
    """Its filters do not fit: they come by pieces of the reduction in groups, the last one of each smaller."""
    network = case(last=150, classes=310) if preset != "4x4" else case(size=12, channels=8, last=36, classes=70)
    compiler = Compiler(network.graph, replace(PRESETS[preset], weight_kib=weight_kib))
    assert compiler.image.head is not None
    bank = compiler.image.banks["classifier"]
    assert bank.groups(bank.filters) > 2 and len(bank.pieces) > 2
    agree(network, compiler)


def test_the_classifier_waits_where_its_filters_stay() -> None:
    assert Compiler(case(last=150, classes=310).graph, ULTRA96).image.head is None


@pytest.mark.parametrize(
    "tight",
    [{"scratchpad_kib": 9}, {"weight_kib": 4}, {"parameter_entries": 512}, {"patch_kib": 4}, {"accumulator_depth": 64}],
)
def test_tight_machines(tight: dict[str, int]) -> None:
    """What the compiler chooses itself where little of one memory is there."""
    network = case() if {"scratchpad_kib", "parameter_entries"} & tight.keys() else case(last=150, classes=310)
    compiler = Compiler(network.graph, replace(ULTRA96, **tight))
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == (), f"{compared.different} differ"


def test_what_is_chosen_is_faster_than_layers_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = case(size=56).graph
    chosen = simulate(Compiler(graph, ULTRA96).compile({})).cycles
    in_turn = simulate(forced(monkeypatch, graph, ULTRA96, Order.IN_TURN, 0).compile({})).cycles
    assert chosen < 0.95 * in_turn


def test_mobilenet_v2_of_full_size_runs_at_190_images_a_second() -> None:
    """Random weights, no gates; all ways but one in turn are chosen."""
    network: nn.Module = lively(MobileNetV2(), NETWORK_SEED)
    graph = capture(network, (3, 224, 224))
    pixels = CIFAR10.normalise(random_images(1, 224, IMAGE_SEED))
    quantised = quantise(graph, calibrate(graph, pixels))
    sample = quantise_input(pixels, quantised)
    compiler = Compiler(quantised, ULTRA96)
    result = simulate(compiler.compile({}, sample[0]))
    np.testing.assert_array_equal(result.logits, run_reference(quantised, sample).logits[0])
    assert {order for order, *_ in orders(compiler)} == set(Order) - {Order.IN_TURN}
    assert compiler.image.head is not None and compiler.image.share
    assert ULTRA96.clock_mhz * 1e6 / result.cycles > 190


def test_rounds_keep_every_layer_behind_what_it_reads() -> None:
    """Of two depthwise convolutions in a row of six layers each is a round behind what it reads, or a phase."""
    depthwise = [False, True, False, False, True, False]
    for order in (Order.IN_PHASES, Order.SIDE_BY_SIDE):
        made: dict[tuple[int, int], int] = {}
        for time, phase in enumerate(rounds(places(depthwise, order), 5)):
            for layer, step in phase:
                made[layer, step] = time
                alone = depthwise[layer] or (layer > 0 and depthwise[layer - 1])
                assert layer == 0 or made[layer - 1, step] <= time - alone
        assert set(made) == {(layer, step) for layer in range(6) for step in range(5)}
