"""Networks deeper than the buffers: parameters, filters and instruction pages go round several times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from tests.support.chain import compare_image
from tests.support.graphs import random_inputs, resnet_graph

SEED = 5


@pytest.mark.parametrize("depth", [56, 110])
def test_a_deep_gated_network_equals_its_reference(depth: int) -> None:
    print(f"seed {SEED}")
    graph = resnet_graph(depth, seed=SEED)
    inputs = random_inputs(graph, 1, SEED)
    reference = run_reference(graph, inputs, keep=True)
    compiler = Compiler(graph, replace(PRESETS["ultra96"], parameter_entries=2048))
    assert compiler.image.parameters > compiler.image.parameter_capacity
    compared = compare_image(compiler, inputs[0], reference, 0, audit=True)
    assert compared.different == ()
    assert len(compared.program.code) > PRESETS["ultra96"].instruction_entries
