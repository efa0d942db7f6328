"""Bottleneck blocks whose maps lie in DRAM tile by tile: the same tensors, bits and cycles as everywhere."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit import tile_products
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.plan import maps
from gatewright.compiler.plan.placement import DoesNotFitError
from gatewright.compiler.plan.residency import residency
from gatewright.compiler.plan.tiled import joined
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import EpilogueKind, Opcode, column
from gatewright.contract.trace import first_difference
from gatewright.models.gates.kinds import Gating
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively_bottleneck
from tests.end_to_end.networks import NETWORK_SEED, Case, case_of, forced, only_one
from tests.support.chain import compare_image
from tests.support.tiled import pooled_case

SCRATCHPAD_KIB = {"dual": 32, "spatial": 32, "none": 32}
ARCH = replace(PRESETS["ultra96"], weight_kib=24)


@cache
def case(gating: Gating) -> Case:
    return case_of(lively_bottleneck(gating, 16, NETWORK_SEED, channels=32), 16)


@pytest.mark.parametrize("gating", SCRATCHPAD_KIB)
def test_every_tensor_is_the_references_and_the_stepped_model_agrees(gating: Gating) -> None:
    network = case(gating)
    compiler = Compiler(network.graph, replace(ARCH, scratchpad_kib=SCRATCHPAD_KIB[gating]))
    assert {"layer1.0.conv3", "layer1.0.downsample.0"} <= compiler.image.off_chip.keys()
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[-1])


@pytest.mark.parametrize("name", ["all on", "all off", "one channel in one tile"])
def test_forced_decisions(name: str) -> None:
    graph, sample = case("dual").graph, case("dual").inputs[0]
    if name == "one channel in one tile":
        for kind in ("channel", "spatial"):
            graph = only_one(graph, kind, sample)
    else:
        for kind in ("channel", "spatial"):
            graph = forced(graph, kind, name == "all on")
    reference = run_reference(graph, sample[None], keep=True)
    compiler = Compiler(graph, replace(ARCH, scratchpad_kib=SCRATCHPAD_KIB["dual"]))
    assert compiler.image.off_chip
    assert compare_image(compiler, sample, reference, 0, audit=True).different == ()


@pytest.mark.parametrize("gating", ["none", "channel", "spatial", "dual"])
def test_a_max_pool_and_rows_of_a_blocks_map(gating: Gating) -> None:
    """ResNet-50 in small: the pool's output, and maps inside of blocks, lie in DRAM, too."""
    network, arch = pooled_case(gating)
    compiler = Compiler(network.graph, replace(arch, scratchpad_kib=12) if gating == "none" else arch)
    assert {"conv1.max_pool", "layer1.1.conv1", "layer2.0.conv1"} <= compiler.image.off_chip.keys()
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()
    assert first_difference(compared.result.trace, step_simulate(compared.program, fill_seed=1).trace) is None


@pytest.mark.parametrize("gating", SCRATCHPAD_KIB)
def test_the_second_convolution_tile_by_tile_with_the_third(gating: Gating, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the maps on both sides of it are too large together; here every block is one of these that may be."""
    monkeypatch.setattr(maps, "joined", lambda block, graph, off_chip, most: joined(block, graph, off_chip, 0))
    network = case(gating)
    compiler = Compiler(network.graph, replace(ARCH, scratchpad_kib=SCRATCHPAD_KIB[gating]))
    assert [layer.name for layer in compiler.image.passes["layer1.0.conv2"].layers] == [
        "layer1.0.conv2",
        "layer1.0.downsample.0",
        "layer1.0.conv3",
    ]
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()
    assert first_difference(compared.result.trace, step_simulate(compared.program, fill_seed=1).trace) is None


def test_averages_that_come_behind_the_tiles_that_they_are_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the array would round filters up to a block of those that stand; here wherever it may be."""
    monkeypatch.setattr(tile_products, "apart", lambda *sizes: True)
    network = case("dual")
    compiler = Compiler(network.graph, replace(ARCH, scratchpad_kib=SCRATCHPAD_KIB["dual"]))
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()
    code, layers = compared.program.code, compared.program.layers
    kinds = code[:, column(Opcode.EPILOGUE, "kind")]
    averages = (code[:, 0] == Opcode.EPILOGUE) & (kinds == EpilogueKind.AVERAGE)
    assert "layer2.0.conv1" in {layers[row] for row in np.flatnonzero(averages)}
    assert first_difference(compared.result.trace, step_simulate(compared.program, fill_seed=1).trace) is None


def test_tiles_that_are_off_stay_in_dram() -> None:
    """All channels on, the stream of a block without a shortcut is read and written by active tiles alone."""
    network, arch = pooled_case("spatial")
    moved = {}
    for on in (True, False):
        graph = forced(network.graph, "spatial", on)
        sample = network.inputs[0]
        decisions = {name: bits[0] for name, bits in run_reference(graph, sample[None]).decisions.items()}
        compiler = Compiler(graph, arch)
        plan = residency(compiler.image, compiler.compile(decisions, sample))
        (place,) = next(layer.maps for layer in plan.layers if layer.name == "layer1.0.conv3")[:1]
        moved[on] = place.read, place.written
    assert moved[True] > moved[False]
    assert moved[False][1] == place.spilled, "the block with the shortcut writes it all, the others nothing"


def test_what_does_not_fit_is_refused_with_what_is_missing() -> None:
    with pytest.raises(DoesNotFitError, match=r"[0-9]+ bytes are missing; raise scratchpad_kib") as refused:
        Compiler(case("dual").graph, replace(ARCH, scratchpad_kib=16))
    assert 0 < refused.value.missing < 64 * 1024
