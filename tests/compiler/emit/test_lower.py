"""Programs: right on machines of every size or refused, reproducible, and without what a gate switched off."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.graph.reference import ReferenceResult, run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.contract.arch import BEAT_BYTES, PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import NO_TABLE, Opcode, Space, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.fast.machine import simulate
from tests.support.chain import compare_image
from tests.support.graphs import random_inputs, resnet_graph

SEED = 6


@cache
def case(gated: bool, size: int) -> tuple[QuantisedGraph, npt.NDArray[np.int8], ReferenceResult]:
    print(f"seed {SEED}")
    graph = resnet_graph(8, gated, size, SEED)
    inputs = random_inputs(graph, 1, SEED)
    return graph, inputs, run_reference(graph, inputs, keep=True)


def decisions(reference: ReferenceResult) -> Decisions:
    return {name: decided[0] for name, decided in reference.decisions.items()}


FITTING = [
    {"patch_kib": 32},
    {"weight_kib": 40},
    {"scratchpad_kib": 64},
    {"accumulator_depth": 64},
    {"instruction_entries": 64},
    {"queue_depth": 2},
    {"tables": 3},
    {"tables": 15},
    {"load_vectors": 1},
    {"columns": 4},
    {"columns": 32},
    {"rows": 4, "columns": 5},
    {"rows": 5, "columns": 7},
    {"rows": 6, "columns": 4, "weight_kib": 256},
]


@pytest.mark.parametrize("changes", FITTING, ids=str)
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "dense"])
def test_machines_that_the_network_fits(gated: bool, changes: dict[str, int]) -> None:
    graph, inputs, reference = case(gated, 32)
    compiler = Compiler(graph, replace(PRESETS["ultra96"], **changes))
    compared = compare_image(compiler, inputs[0], reference, 0, audit=True)
    assert compared.different == ()


SMALL = [
    ("scratchpad_kib", (4, 16, 32, 48)),
    ("patch_kib", (1, 2, 4, 6, 8, 12)),
    ("weight_kib", (1, 8, 32, 36)),
    ("accumulator_depth", (16, 20, 32, 48)),
    ("parameter_entries", (128, 256)),
    ("table_entries", (16, 32)),
    ("tables", (2,)),
]


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "dense"])
@pytest.mark.parametrize(("name", "values"), SMALL)
def test_a_machine_is_large_enough_or_refused(gated: bool, size: int, name: str, values: tuple[int, ...]) -> None:
    """Never a program with wrong results: the message names what is too small."""
    graph, inputs, reference = case(gated, size)
    refused = 0
    for value in values:
        arch = replace(PRESETS["ultra96"], **{name: value})
        try:
            compiler = Compiler(graph, arch)
            program = compiler.compile(decisions(reference), inputs[0])
        except GatewrightError as error:
            refused += 1
            assert "\n" not in str(error)
            assert name in str(error) or name.split("_")[0] in str(error), error
            continue
        assert compare_image(compiler, inputs[0], reference, 0, audit=True).different == ()
        assert simulate(program).logits.tolist() == reference.logits[0].tolist()
    if gated and size == 32:
        assert refused, f"no {name} of {values} is too small: the test is not one"


def test_a_program_is_reproducible_and_survives_its_file(tmp_path: Path) -> None:
    graph, inputs, reference = case(True, 16)
    first, second = (Compiler(graph, PRESETS["8x8"]).compile(decisions(reference), inputs[0]) for _ in range(2))
    np.testing.assert_array_equal(first.code, second.code)
    np.testing.assert_array_equal(first.image, second.image)
    first.save(tmp_path / "program")
    loaded = Program.load(tmp_path / "program")
    before, after = simulate(first), simulate(loaded)
    assert first_difference(before.trace, after.trace) is None
    np.testing.assert_array_equal(before.dram, after.dram)
    assert (loaded.layers, loaded.macs, loaded.gates, loaded.placements) == (
        first.layers,
        first.macs,
        first.gates,
        first.placements,
    )


def test_every_instruction_has_a_layer_and_every_layer_a_kind() -> None:
    graph, _, reference = case(True, 32)
    program = Compiler(graph, PRESETS["ultra96"]).compile(decisions(reference))
    assert len(program.layers) == len(program.code) and set(program.layers) <= set(program.layer_kinds)
    kinds = program.layer_kinds
    assert {kinds["conv1"], kinds["fc"], kinds["layer2.0.downsample.0"]} == {"ungated"}
    assert {kinds[n] for n in kinds if n.endswith(("mask_s", "mask_c"))} == {"gate"}
    assert {kinds[n] for n in kinds if n.startswith("layer") and ".conv" in n} == {"gated"}


def test_only_active_input_channels_are_read() -> None:
    graph, inputs, reference = case(True, 32)
    decided = decisions(reference)
    program = Compiler(graph, PRESETS["ultra96"]).compile(decided, inputs[0])
    result = simulate(program)
    for stage, filters in ((1, 16), (2, 32), (3, 64)):
        region = next(r for r in program.regions if r.name == f"layer{stage}.0.conv2")
        (row,) = np.flatnonzero(
            (program.code[:, 0] == Opcode.LOAD)
            & (program.code[:, column(Opcode.LOAD, "dram_address")] == region.address)
            & (program.code[:, column(Opcode.LOAD, "space")] == Space.WEIGHTS_BY_REDUCTION)
        )
        assert program.code[row, column(Opcode.LOAD, "row_table")] != NO_TABLE
        (executed,) = np.flatnonzero(result.trace.records["instruction"] == row)
        active = int(decided[f"layer{stage}.0.mask_c"].sum())
        assert 0 < active < filters
        assert result.work["bytes"][executed] == active * 9 * -(-filters // BEAT_BYTES) * BEAT_BYTES


def test_a_block_without_active_tiles_costs_no_products_and_no_late_filters() -> None:
    graph, inputs, reference = case(True, 32)
    decided = decisions(reference)
    decided["layer1.0.mask_s"] = np.zeros_like(decided["layer1.0.mask_s"])
    program = Compiler(graph, PRESETS["ultra96"]).compile(decided, inputs[0])
    layers = {(layer, int(opcode)) for layer, opcode in zip(program.layers, program.code[:, 0], strict=True)}
    for name in ("layer1.0.conv1", "layer1.0.conv2"):
        assert program.macs[name] == 0
        assert not {opcode for layer, opcode in layers if layer == name} & {
            Opcode.GATHER,
            Opcode.MATMUL,
            Opcode.EPILOGUE,
        }
    # The first convolution's filters are on their way before the gate decides; the second's wait for it.
    region = next(r for r in program.regions if r.name == "layer1.0.conv2")
    loads = program.code[program.code[:, 0] == Opcode.LOAD]
    assert region.address not in loads[:, column(Opcode.LOAD, "dram_address")]


def test_gates_cost_cycles_that_skipping_wins_back() -> None:
    graph, inputs, reference = case(True, 32)
    dense = Compiler(without_gates(graph), PRESETS["ultra96"]).compile({}, inputs[0])
    gated = Compiler(graph, PRESETS["ultra96"]).compile(decisions(reference), inputs[0])
    assert simulate(gated).cycles < simulate(dense).cycles


def test_a_wide_kernel_over_gated_tiles_is_an_error() -> None:
    graph, _, reference = case(True, 16)
    layers = list(graph.layers)
    at = next(i for i, layer in enumerate(layers) if layer.name == "layer1.0.conv2")
    conv = layers[at]
    assert isinstance(conv, QuantisedConv)
    layers[at] = replace(conv, weight=np.pad(conv.weight, ((0, 0), (1, 1), (1, 1), (0, 0))), padding=2)
    wide = QuantisedGraph(graph.input, layers, graph.shapes, graph.scales)
    with pytest.raises(GatewrightError, match=r"layer1\.0\.conv2: a kernel of 5 columns .* at most 4"):
        Compiler(wide, PRESETS["ultra96"]).compile(decisions(reference))


def test_a_missing_decision_and_a_missing_result_are_errors() -> None:
    graph, _, reference = case(True, 16)
    some = decisions(reference)
    del some["layer2.0.mask_s"]
    with pytest.raises(GatewrightError, match=r"no decision for gate layer2\.0\.mask_s"):
        Compiler(graph, PRESETS["ultra96"]).compile(some)
    headless = QuantisedGraph(graph.input, graph.layers[:-1], graph.shapes, graph.scales)
    with pytest.raises(GatewrightError, match="must end in what it returns"):
        Compiler(headless, PRESETS["ultra96"])
