"""Scratchpads so small that the map between two convolutions is made by half or quarter rows of its gate's tiles.

Maps, averages, decisions and logits are the integer reference's, to the byte, and audited. The stepped simulator
agrees.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.plan.residency import residency
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import NO_TABLE, Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.stepped.machine import step_simulate
from tests.support.chain import compare_image
from tests.support.graphs import random_inputs, resnet_graph

FIRST, SECOND = "layer1.0.conv1", "layer2.0.conv1"


def arch(kib: int, **changes: int) -> ArchConfig:
    return replace(PRESETS["8x8"], **{"weight_kib": 16, "patch_kib": 8, "scratchpad_kib": kib, **changes})


def rows_of_tiles(program: Program, layer: str) -> set[tuple[int, int]]:
    """(first row, rows) of the tiles of a table that a layer's EPILOGUEs write; (0, tile) are whole tiles."""
    found = set()
    for row, name in zip(program.code, program.layers, strict=True):
        if row[0] != Opcode.EPILOGUE or name != layer:
            continue
        fields = ("tile_table", "tile", "tile_count", "first_pixel", "pixel_count")
        table, tile, count, first, pixels = (int(row[column(Opcode.EPILOGUE, field)]) for field in fields)
        if table != NO_TABLE and count:
            found.add((first % tile**2 // tile, min(tile, pixels // tile)))
    return found


WHOLE = {(0, 4)}


@pytest.mark.parametrize(
    ("channels_gated", "wider", "kib", "first", "second", "parts"),
    [
        (False, 2, 12, WHOLE, {(0, 2)}, (None, None)),
        (False, 2, 11, {(0, 2), (2, 2), (0, 4)}, {(0, 2)}, (2, None)),
        (False, 2, 10, {(0, 1), (1, 3), (0, 4)}, {(0, 2)}, (1, None)),
        (False, 1, 7, WHOLE, {(0, 1), (1, 1), (0, 2)}, (None, 1)),
        (True, 2, 7, WHOLE, {(0, 1), (1, 1), (0, 2)}, (None, 1)),
    ],
    ids=["whole", "halves", "a row and three", "with a shortcut", "with a shortcut, streamed, compact"],
)
def test_rows_of_tiles_are_cut_where_whole_ones_do_not_fit(
    channels_gated: bool,
    wider: int,
    kib: int,
    first: set[tuple[int, int]],
    second: set[tuple[int, int]],
    parts: tuple[int | None, int | None],
) -> None:
    graph = resnet_graph(8, size=16, seed=3, channels_gated=channels_gated, wider=wider)
    sample = random_inputs(graph, 1, 4)
    reference = run_reference(graph, sample, keep=True)
    compiler = Compiler(graph, arch(kib))
    compared = compare_image(compiler, sample[0], reference, 0, audit=True)
    assert compared.different == ()
    program = compared.program
    assert (rows_of_tiles(program, FIRST), rows_of_tiles(program, SECOND)) == (first, second)
    decisions = {name: decided[0] for name, decided in reference.decisions.items()}
    for layer in graph.layers:
        if layer.name in (FIRST, SECOND):
            assert program.macs[layer.name] == layer.macs(graph, decisions)
    plan = {layer.name: layer.part for layer in residency(compiler.image, program).layers}
    assert (plan[FIRST], plan[SECOND]) == parts
    stepped = step_simulate(program)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(compared.result.scratchpad, stepped.scratchpad)


def test_single_rows_that_do_not_fit_are_refused() -> None:
    """Of 16 columns and 32 channels the rows of 512 bytes that the second convolution needs for four of its own."""
    graph = resnet_graph(8, size=16, seed=3, channels_gated=False, wider=2)
    sample = random_inputs(graph, 1, 4)
    decisions = {name: decided[0] for name, decided in run_reference(graph, sample).decisions.items()}
    message = "6 rows of tensor layer1.0.conv1 must be kept, 3072 bytes; .* has room for 2304: 768 are missing"
    with pytest.raises(GatewrightError, match=message):
        Compiler(graph, arch(7)).compile(decisions, sample[0])
