"""Gates whose filters do not stay in the weight buffer: they are loaded for their turn, and give way behind it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from tests.support.chain import compare_image
from tests.support.graphs import random_inputs, resnet_graph

SEED = 9


@pytest.mark.parametrize("columns", [4, 5])
def test_a_spatial_gate_is_streamed_and_makes_room_for_its_block(columns: int) -> None:
    print(f"seed {SEED}")
    graph = resnet_graph(14, True, 32, SEED)
    inputs = random_inputs(graph, 1, SEED)
    reference = run_reference(graph, inputs, keep=True)
    compiler = Compiler(graph, replace(PRESETS["ultra96"], columns=columns, weight_kib=8))
    assert compiler.image.banks["layer3.0.mask_s"].streamed
    assert compare_image(compiler, inputs[0], reference, 0, audit=True).different == ()
