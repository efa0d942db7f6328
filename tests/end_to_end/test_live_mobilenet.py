"""One program for every image of a gated MobileNetV2: depthwise convolutions in EPILOGUE, zeros beside active tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit import lower_convolutions
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.plan.chains import chain_ways
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.side_by_side import Order
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.models.gates.kinds import Gating
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively_mobilenet
from tests.end_to_end.networks import NETWORK_SEED, Case, case_of, forced, only_one
from tests.end_to_end.test_in_flight import check, group
from tests.end_to_end.test_mobilenet import made_in_epilogue
from tests.end_to_end.test_side_by_side import forced as side_by_side
from tests.support.chain import compare_image

ULTRA96 = PRESETS["ultra96"]


@cache
def case(gating: Gating) -> Case:
    """72 expanded channels of maps of 7x7 pixels, whose tiles of 2x2 are ragged."""
    return case_of(lively_mobilenet(gating, 28, NETWORK_SEED, channels=18), 28)


def differences(network: Case, arch: ArchConfig, images: int | None = None) -> list[tuple[str, ...]]:
    """What differs from the reference, by image, where one live program runs them all."""
    compiler = Compiler(network.graph, arch)
    live = compiler.compile_live()
    compared = [
        compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        for position, sample in enumerate(network.inputs[:images])
    ]
    assert live.live and len({result.result.cycles for result in compared}) > 1, "every image is as every other"
    return [one.different for one in compared]


@pytest.mark.parametrize("preset", ["4x4", "12x20", "ultra96"])
@pytest.mark.parametrize("gating", ["dual", "spatial", "channel"])
def test_every_image_runs_with_one_program(gating: Gating, preset: str) -> None:
    assert set(differences(case(gating), PRESETS[preset])) == {()}


def test_all_depthwise_convolutions_are_epilogues() -> None:
    """A replayed program has those of the two gated blocks on the array."""
    compiler = Compiler(case("dual").graph, ULTRA96)
    first = {name: decided[0] for name, decided in case("dual").reference.decisions.items()}
    replayed, live = made_in_epilogue(compiler.compile(first)), made_in_epilogue(compiler.compile_live())
    assert live - replayed == {"features.3.conv.1.0", "features.4.conv.1.0"}


@pytest.mark.parametrize("name", ["all on", "no tile", "no channel", "one channel in one tile"])
def test_forced_decisions(name: str) -> None:
    graph, sample = case("dual").graph, case("dual").inputs[0]
    if name == "all on":
        graph = forced(forced(graph, "spatial", True), "channel", True)
    elif name == "one channel in one tile":
        graph = only_one(only_one(graph, "channel", sample), "spatial", sample)
    else:
        graph = forced(graph, "spatial" if name == "no tile" else "channel", False)
    reference, compiler = run_reference(graph, sample[None], keep=True), Compiler(graph, ULTRA96)
    compared = compare_image(compiler, sample, reference, 0, audit=True, live=compiler.compile_live())
    assert compared.different == ()


def test_what_an_image_leaves_beside_active_tiles_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the zeros a depthwise convolution reads whatever lies there."""

    def chunks_alone(chunks: Iterator[None], *others: object) -> Iterator[None]:
        return chunks

    monkeypatch.setattr(lower_convolutions, "zeros_behind_first", chunks_alone)
    assert any(differences(case("dual"), ULTRA96))


def agree_by_steps(live: Program, sample: np.ndarray) -> None:
    """The stepped model, its memories full of noise, has the fast one's cycles and bytes."""
    fast, stepped = simulate(live, sample), step_simulate(live, sample, fill_seed=1)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.dram, stepped.dram)


@pytest.mark.parametrize("gating", ["dual", "spatial"])
def test_the_stepped_model_agrees(gating: Gating) -> None:
    agree_by_steps(Compiler(case(gating).graph, ULTRA96).compile_live(), case(gating).inputs[1])


@pytest.mark.parametrize(("kib", "cut"), [(16, False), (13, True)])
def test_blocks_are_made_by_rows_where_their_maps_do_not_fit(kib: int, cut: bool) -> None:
    """Tiles of 4, cut where whole rows of them do not fit: each step has tables of its own, of what is off, too."""
    network = case_of(lively_mobilenet("dual", 48, NETWORK_SEED, channels=16, tile=4), 48)
    arch = replace(ULTRA96, scratchpad_kib=kib)
    gated = [one for one in NetworkImage(network.graph, arch, live=True).chains if one.layers[1].output_tiles]
    assert len(gated) == 2 and all(one.cut == cut for one in gated)
    assert set(differences(network, arch, 2)) == {()}
    agree_by_steps(Compiler(network.graph, arch).compile_live(), network.inputs[0])


def test_filters_are_streamed() -> None:
    arch = replace(ULTRA96, weight_kib=3)
    image = NetworkImage(case("dual").graph, arch, live=True)
    assert image.banks["features.4.conv.0.0"].listed and image.banks["features.4.conv.2"].streamed
    assert set(differences(case("dual"), arch, 2)) == {()}


def test_a_machine_without_depthwise_refuses_by_name() -> None:
    with pytest.raises(GatewrightError, match=r"features\.3\.conv\.1\.0: it is a grouped convolution under a gate"):
        Compiler(case("dual").graph, PRESETS["ultra96-lean"]).compile_live()


def test_all_channels_must_fit_a_table() -> None:
    with pytest.raises(GatewrightError, match=r"72 of its 72 decisions may be on in a live program.*table_entries"):
        Compiler(case("dual").graph, replace(ULTRA96, table_entries=64)).compile_live()


def test_two_images_are_in_flight() -> None:
    network = case("dual")
    program = group(network, ULTRA96, 3, live=True)
    for numbers in ([2, 0, 1], [4, 5, 6]):
        check(network, program, numbers, audit=True)


def test_tiles_are_cut_in_as_few_chains_as_do() -> None:
    """A live program may cut those of one gated block and not of the other; a replayed one cuts those of both."""

    def mixed(live: bool) -> bool:
        ways = chain_ways(case("dual").graph, live)
        return {False, True} in [{chain.cut for chain in way if chain.layers[1].output_tiles} for way in ways]

    assert mixed(True) and not mixed(False)


def test_layers_under_a_channel_gate_alone_work_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    network = case("channel")
    compiler = side_by_side(monkeypatch, network.graph, ULTRA96, Order.SIDE_BY_SIDE, 2, 0)
    image = NetworkImage(network.graph, ULTRA96, live=True)
    assert [one.order for one in image.chains if one.layers[1].gates] == [Order.SIDE_BY_SIDE] * 2
    live = compiler.compile_live()
    for position, sample in enumerate(network.inputs[:2]):
        compared = compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        assert compared.different == ()
