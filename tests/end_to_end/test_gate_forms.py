"""Gates of every form, from torch to the machine; those that leave out whole layers cost nothing where they do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.sim.stepped import step_simulate
from tests.compiler.naive import evaluate
from tests.compiler.networks import random_images
from tests.end_to_end.networks import IMAGE_SEED, IMAGES, Case, forced
from tests.support.chain import compare_image
from tests.support.gate_forms import FORMS, formed

SIZE = 16
PICTURES = CIFAR10.normalise(random_images(IMAGES, SIZE, IMAGE_SEED))
ULTRA96 = PRESETS["ultra96"]


@cache
def made(form: str) -> tuple[nn.Module, FloatGraph, Case]:
    """A network, what is captured of it, and what becomes of that in integers; of images and two extremes."""
    network = formed(form, PICTURES)
    graph = capture(network, (3, SIZE, SIZE))
    quantised = quantise(graph, calibrate(graph, PICTURES))
    inputs = quantise_input(PICTURES, quantised)
    extremes = np.stack([np.full(inputs.shape[1:], value, np.int8) for value in (-128, 127)])
    inputs = np.concatenate([inputs, extremes])
    return network, graph, Case(quantised, inputs, run_reference(quantised, inputs, keep=True))


def case(form: str) -> Case:
    return made(form)[2]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_computes_what_torch_does_and_runs_as_the_reference(form: str) -> None:
    module, graph, network = made(form)
    result = run_float(graph, PICTURES)
    with torch.no_grad():
        np.testing.assert_allclose(result.logits, module(torch.from_numpy(PICTURES)).numpy(), atol=1e-4)
    assert result.decisions and all(0 < decided.mean() < 1 for decided in result.decisions.values())
    compiler = Compiler(network.graph, ULTRA96)
    for position, sample in enumerate(network.inputs[:3]):
        compared = compare_image(compiler, sample, network.reference, position)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        assert compared.gate_bits == sum(d[0].size for d in network.reference.decisions.values())


@pytest.mark.parametrize("preset", ["4x4", "12x20"])
@pytest.mark.parametrize("form", ["channels: one layer", "layers: argmax"])
def test_on_other_arrays(form: str, preset: str) -> None:
    network, compiler = case(form), Compiler(case(form).graph, PRESETS[preset])
    for position, sample in enumerate(network.inputs):
        assert compare_image(compiler, sample, network.reference, position, audit=True).different == ()


@pytest.mark.parametrize(
    "form",
    [
        "channels: one layer, greater",
        "layers: argmax of one layer",
        "layers: bypassed",
        "tiles: argmax",
        "tiles: bypassed",
    ],
)
def test_the_reference_is_plain_arithmetic_and_the_stepped_model_agrees(form: str) -> None:
    network = case(form)
    tensors, decisions, logits = evaluate(network.graph, network.inputs[1])
    for name, decided in decisions.items():
        np.testing.assert_array_equal(network.reference.decisions[name][1], decided, err_msg=name)
    for name in network.reference.tensors.keys() & tensors.keys():
        np.testing.assert_array_equal(network.reference.tensors[name][1], tensors[name], err_msg=name)
    assert network.reference.logits[1].tolist() == logits
    compared = compare_image(Compiler(network.graph, ULTRA96), network.inputs[1], network.reference, 1)
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[1])


TIGHT: dict[str, ArchConfig] = {
    "ultra96": ULTRA96,
    "streamed filters": replace(ULTRA96, weight_kib=8),
    "maps in DRAM": replace(ULTRA96, scratchpad_kib=8),
}


@pytest.mark.parametrize("arch", TIGHT)
@pytest.mark.parametrize("on", [False, True])
def test_a_layer_that_is_left_out_is_not_emitted(arch: str, on: bool) -> None:
    network = case("layers: argmax")
    graph, sample = forced(network.graph, "channel", on), network.inputs[0]
    reference, compiler = run_reference(graph, sample[None], keep=True), Compiler(graph, TIGHT[arch])
    assert {bool(decided) for decided in reference.decisions.values()} == {on}
    compared = compare_image(compiler, sample, reference, 0, audit=True)
    assert compared.different == ()
    assert first_difference(compared.result.trace, step_simulate(compared.program, fill_seed=1).trace) is None
    gated = {"first", "second", "narrow", "middle", "widen"}
    assert gated & set(compared.program.layers) == (gated if on else set())
    assert on == any(brings_filters(compared.program, row, gated) for row in range(len(compared.program.code)))
    dense = without_gates(graph)
    gates = 2 * (16 * 8 + 2 * 8 - 8)  # the two filters of the last layer are one, their difference
    macs = counted_macs(graph, {name: decided[0] for name, decided in reference.decisions.items()})
    if on:
        assert macs == counted_macs(dense, None) + gates
        np.testing.assert_array_equal(reference.logits, run_reference(dense, sample[None]).logits)
    else:
        kept = 256 * 16 * 27 + 64 * 32 * 16 + 32 * 5  # stem, shortcut, classifier
        assert macs == kept + gates
        assert {name: done for name, done in compared.program.macs.items() if name in gated and done} == {}


def test_the_dense_baseline_has_no_convolutions_of_gates() -> None:
    network = case("layers: convolutions")
    names = [layer.name for layer in without_gates(network.graph).layers]
    assert names == ["stem", "first", "second", "narrow", "middle", "shortcut", "widen", "head"]
    convolutions = 2 * 64 * 8 * (16 + 9 * 8)
    decisions = {name: np.ones_like(decided[0]) for name, decided in network.reference.decisions.items()}
    assert counted_macs(network.graph, decisions) == counted_macs(network.graph, None) + convolutions + 2 * 8
    program = Compiler(network.graph, ULTRA96).compile(
        {name: decided[0] for name, decided in network.reference.decisions.items()}
    )
    assert {program.layer_kinds[name] for name in program.layers if name.startswith("gates")} == {"gate"}


def test_nothing_of_a_layer_begins_before_its_gate_has_decided() -> None:
    """Else filters of what is left out would have come for nothing, and what is not would be faster than it can be."""
    network = case("layers: one layer")
    graph = forced(network.graph, "channel", True)
    reference = run_reference(graph, network.inputs[:1], keep=True)
    compared = compare_image(Compiler(graph, ULTRA96), network.inputs[0], reference, 0)
    program = compared.program
    records = {int(record["instruction"]): record for record in compared.result.trace.records}
    for gate, layers in zip(program.gates, (("first", "second"), ("narrow", "middle", "widen")), strict=True):
        decided = records[gate.index_instruction]["done"]
        rows = range(len(program.code))
        gathers = [row for row in rows if program.layers[row] in layers and program.code[row, 0] == Opcode.GATHER]
        loads = [row for row in rows if brings_filters(program, row, layers)]
        assert len(gathers) >= len(loads) == len(layers)
        assert all(records[row]["run"] >= decided for row in gathers + loads)


@pytest.mark.parametrize("on", [False, True])
def test_maps_that_are_not_square(on: bool, tmp_path: Path) -> None:
    """One tile covers them all the same; the program's file says so."""
    pictures = np.concatenate([PICTURES, PICTURES[:, :, :, ::-1]], 3)[..., 4:28]
    network = formed("layers: argmax", pictures)
    graph = capture(network, (3, SIZE, 24))
    quantised = forced(quantise(graph, calibrate(graph, pictures)), "channel", on)
    inputs = quantise_input(pictures[:1], quantised)
    compared = compare_image(
        Compiler(quantised, ULTRA96), inputs[0], run_reference(quantised, inputs, keep=True), 0, audit=True
    )
    between = {"first", "narrow", "middle"}
    assert compared.different == ()
    assert between & {place.tensor for place in compared.program.placements} == (between if on else set())
    compared.program.save(tmp_path / "program")
    assert Program.load(tmp_path / "program").placements == compared.program.placements


def brings_filters(program: Program, row: int, layers: Collection[str]) -> bool:
    """Whether an instruction is a LOAD of some layers' filters, whatever it was emitted beside."""
    if program.code[row, 0] != Opcode.LOAD:
        return False
    address = program.code[row, column(Opcode.LOAD, "dram_address")]
    regions = [region for region in program.regions if region.kind == "weights" and region.name in layers]
    return any(region.address <= address < region.address + region.size for region in regions)
