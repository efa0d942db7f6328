"""Spatial gates whose kernel is a filter for each of its places decide as the integer reference does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import EpilogueKind, Opcode, column
from gatewright.contract.trace import first_difference
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.support.chain import compare_image
from tests.support.graphs import random_inputs, resnet_graph

ARCH = replace(PRESETS["ultra96"], rows=4)
"""A machine whose GATHER is slow, so that kernels of 32 channels are cut."""

SEED = 9


def test_gates_by_taps_and_gates_by_patches_agree_with_the_reference() -> None:
    print(f"seed {SEED}")
    graph = resnet_graph(14, True, 32, SEED)
    inputs = random_inputs(graph, 2, SEED)
    reference = run_reference(graph, inputs, keep=True)
    compiler = Compiler(graph, ARCH)
    for image in range(2):
        compared = compare_image(compiler, inputs[image], reference, image, audit=True)
        assert compared.different == ()
    program = compiler.compile({name: bits[0] for name, bits in reference.decisions.items()}, inputs[0])
    kinds = [row[column(Opcode.EPILOGUE, "kind")] for row in program.code if row[0] == Opcode.EPILOGUE]
    assert EpilogueKind.TAPS in kinds
    assert EpilogueKind.THRESHOLD in kinds
    fast, stepped = simulate(program), step_simulate(program, fill_seed=1)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.masks, stepped.masks)
    np.testing.assert_array_equal(fast.dram, stepped.dram)
