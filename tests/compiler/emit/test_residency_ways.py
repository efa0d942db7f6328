"""Machines so small that filters are streamed, reductions cut into pieces, and maps kept as rings of rows.

What every way computes is the integer reference's, to the byte, and audited. The stepped simulator agrees.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.reference import ReferenceResult, run_reference
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.stepped.machine import step_simulate
from tests.support.chain import compare_image
from tests.support.graphs import random_inputs, resnet_graph

TINY = replace(PRESETS["8x8"], weight_kib=16, scratchpad_kib=8, patch_kib=4)


@cache
def case(gated: bool) -> tuple[QuantisedGraph, np.ndarray, ReferenceResult]:
    graph = resnet_graph(8, gated=gated, size=16, seed=3)
    sample = random_inputs(graph, 1, 4)
    return graph, sample, run_reference(graph, sample, keep=True)


def some(program: Program, opcode: Opcode, name: str) -> bool:
    """Whether a field of an instruction is not 0 anywhere."""
    rows = program.code[program.code[:, 0] == opcode]
    return bool((rows[:, column(opcode, name)] != 0).any())


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "dense"])
def test_what_does_not_fit_is_computed_all_the_same(gated: bool) -> None:
    graph, sample, reference = case(gated)
    compiler = Compiler(graph, TINY)
    banks = compiler.image.banks
    streamed = {name for name, bank in banks.items() if bank.streamed}
    assert streamed == {"layer2.0.conv2", "layer3.0.conv1", "layer3.0.conv2"}
    assert banks["layer3.0.conv1"].listed == gated and banks["layer1.0.conv1"].gate is None
    assert (len(banks["layer3.0.conv2"].pieces) > 1) == (not gated)
    assert [block.first.name for block in compiler.image.blocks] == ["layer1.0.conv1", "layer2.0.conv1"]
    assert [block.shortcut is not None for block in compiler.image.blocks] == [False, True]
    compared = compare_image(compiler, sample[0], reference, 0, audit=True)
    assert compared.different == ()
    for opcode, name in (
        (Opcode.GATHER, "first_slice"),
        (Opcode.GATHER, "wrap_row"),
        (Opcode.EPILOGUE, "wrap_row"),
        (Opcode.MATMUL, "accumulate"),
        (Opcode.LOAD, "first_row"),
    ):
        assert some(compared.program, opcode, name), (opcode, name)


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "dense"])
def test_the_stepped_simulator_agrees(gated: bool) -> None:
    graph, sample, reference = case(gated)
    compared = compare_image(Compiler(graph, TINY), sample[0], reference, 0)
    stepped = step_simulate(compared.program)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(compared.result.scratchpad, stepped.scratchpad)
    np.testing.assert_array_equal(stepped.logits, reference.logits[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"scratchpad_kib": 8},
        {"weight_kib": 24},
        {"weight_kib": 16, "columns": 12},
        {"patch_kib": 8},
        {"patch_kib": 4, "accumulator_depth": 64},
    ],
    ids=str,
)
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "dense"])
def test_each_way_alone(gated: bool, changes: dict[str, int]) -> None:
    graph, sample, reference = case(gated)
    arch: ArchConfig = replace(PRESETS["8x8"], **changes)
    assert compare_image(Compiler(graph, arch), sample[0], reference, 0, audit=True).different == ()
