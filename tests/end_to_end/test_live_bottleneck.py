"""One program for every image of a network of bottleneck blocks: maps tile by tile in DRAM, filters tap by tap."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.plan import maps
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.tiled import joined
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.trace import first_difference
from gatewright.models.gates.kinds import Gating
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively_bottleneck
from tests.end_to_end.networks import NETWORK_SEED, Case, case_of, forced, only_one
from tests.support.chain import compare_image
from tests.support.tiled import pooled_case

GATINGS: tuple[Gating, ...] = ("dual", "spatial", "channel", "bas")
SMALL = replace(PRESETS["8x8"], scratchpad_kib=36, weight_kib=24)
"""Streams lie in DRAM, and neither block's second convolution keeps its filters."""


@cache
def case(gating: Gating) -> Case:
    return case_of(lively_bottleneck(gating, 16, NETWORK_SEED, channels=32), 16)


def check(network: Case, arch: ArchConfig, images: int | None = None, stepped: bool = False) -> None:
    """Every tensor and gate of some images, with one program."""
    compiler = Compiler(network.graph, arch)
    live, bits = compiler.compile_live(), set()
    for position, sample in enumerate(network.inputs[:images]):
        compared = compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        bits.add(tuple(np.concatenate([compared.result.gates[gate.name] for gate in live.gates])))
    assert images == 1 or len(bits) > 1, "every image has the same gates; nothing was decided"
    if stepped:
        fast, other = simulate(live, network.inputs[0]), step_simulate(live, network.inputs[0], fill_seed=1)
        assert first_difference(fast.trace, other.trace) is None
        np.testing.assert_array_equal(fast.logits, other.logits)


@pytest.mark.parametrize("preset", ["ultra96", "4x4", "12x20"])
@pytest.mark.parametrize("gating", GATINGS)
def test_maps_and_filters_that_stay(gating: Gating, preset: str) -> None:
    check(case_of(lively_bottleneck(gating, 16, NETWORK_SEED), 16), PRESETS[preset])


@pytest.mark.parametrize("gating", ["dual", "spatial"])
def test_maps_in_dram_and_filters_tap_by_tap(gating: Gating) -> None:
    image = NetworkImage(case(gating).graph, SMALL, live=True)
    assert image.off_chip and ("layer2.0.conv2" in image.by_taps) == (gating == "dual")
    check(case(gating), SMALL, stepped=gating == "dual")


@pytest.mark.parametrize("gating", ["dual", "channel", "bas"])
def test_filters_tap_by_tap_where_maps_stay(gating: Gating) -> None:
    arch = replace(PRESETS["8x8"], weight_kib=24)
    image = NetworkImage(case(gating).graph, arch, live=True)
    assert not image.off_chip and "layer2.0.conv2" in image.by_taps
    check(case(gating), arch, images=3)


@pytest.mark.parametrize("gating", ["dual", "channel", "spatial"])
def test_a_max_pool_and_rows_of_a_blocks_map(gating: Gating) -> None:
    """ResNet-50 in small: rows of the first convolution's output lie in DRAM, too."""
    network, _ = pooled_case(gating)
    arch = replace(PRESETS["4x4"], scratchpad_kib=13, weight_kib=24)
    image = NetworkImage(network.graph, arch, live=True)
    assert {"conv1.max_pool", "layer2.0.conv1"} <= image.off_chip.keys()
    check(network, arch)


@pytest.mark.parametrize("gating", ["dual", "spatial"])
def test_the_second_convolution_tile_by_tile_with_the_third(gating: Gating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "joined", lambda block, graph, off_chip, most: joined(block, graph, off_chip, 0))
    image = NetworkImage(case(gating).graph, SMALL, live=True)
    assert any(one.block.joint for one in image.passes.values())
    check(case(gating), SMALL)


FORCED: dict[str, tuple[dict[str, bool], tuple[str, ...]]] = {
    "all on": ({"spatial": True, "channel": True}, ()),
    "all off": ({"spatial": False, "channel": False}, ()),
    "no channel in every tile": ({"channel": False, "spatial": True}, ()),
    "every channel in no tile": ({"channel": True, "spatial": False}, ()),
    "one channel in one tile": ({}, ("channel", "spatial")),
}


@pytest.mark.parametrize("name", FORCED)
def test_forced_decisions(name: str) -> None:
    graph, sample = case("dual").graph, case("dual").inputs[0]
    always, single = FORCED[name]
    for kind, on in always.items():
        graph = forced(graph, kind, on)
    for kind in single:
        graph = only_one(graph, kind, sample)
    check(Case(graph, sample[None], run_reference(graph, sample[None], keep=True)), SMALL, images=1)
