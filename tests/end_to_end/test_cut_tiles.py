"""Rows of tiles that do not fit: maps in DRAM by parts of them, with runs of smaller tiles, and averages made apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit.average_product import AverageProduct
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.plan.tile_sets import runs_of_tiles
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import NO_TABLE, EpilogueKind, Opcode, column
from gatewright.contract.trace import first_difference
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.gates.kinds import Gating
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import SmallImageNet, lively_imagenet
from tests.end_to_end.networks import Case, case_of, forced
from tests.support.chain import Comparison, compare_image
from tests.support.layer_gates import partly_on

SIZE, TILE = 64, 8
ARCH = replace(PRESETS["8x8"], weight_kib=16, patch_kib=8, scratchpad_kib=7)
"""A row of tiles of the first stage has 2 KiB, and the map that the max pool makes 4."""

APART = {"conv1.max_pool", "layer1.0.conv2", "layer1.1.conv2", "layer2.0.conv2"}


@cache
def case(gating: Gating) -> Case:
    return case_of(lively_imagenet(gating, SIZE, 16, TILE), SIZE)


def agree(network: Case, compiler: Compiler, position: int) -> Comparison:
    """An image's maps, gates and logits are the reference's, what lies in DRAM at the end too."""
    compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=True)
    assert compared.different == (), f"image {position}: {compared.different} differ"
    for spill in compiler.image.spills.values():
        name, rows = spill.tensors[-1], compiler.image.spilled[spill.tensors[-1]]
        stored = compared.result.dram[rows.dram : rows.dram + rows.size].view(np.int8)
        np.testing.assert_array_equal(stored, network.reference.tensors[name][position].reshape(-1), err_msg=name)
    return compared


@pytest.mark.parametrize("gating", ["dual", "spatial"])
def test_what_is_active_of_a_part_of_a_row_of_tiles_is_the_references(gating: Gating) -> None:
    network, compiler = case(gating), Compiler(case(gating).graph, ARCH)
    assert compiler.image.apart == APART
    for position in (0, 1, len(network.inputs) - 1):
        program = agree(network, compiler, position).program
    code = program.code[np.array(program.layers) == "layer1.0.conv1"]
    gathers = code[code[:, 0] == Opcode.GATHER]
    assert set(gathers[:, column(Opcode.GATHER, "tile")].tolist()) == {4}
    assert set(gathers[:, column(Opcode.GATHER, "tile_table")].tolist()) == {NO_TABLE}
    epilogues = program.code[program.code[:, 0] == Opcode.EPILOGUE]
    averages = epilogues[epilogues[:, column(Opcode.EPILOGUE, "kind")] == EpilogueKind.AVERAGE]
    assert {TILE, TILE // 2} <= set(averages[:, column(Opcode.EPILOGUE, "window")].tolist())


@pytest.mark.parametrize("on", [True, False])
def test_every_tile_or_none(on: bool) -> None:
    graph, inputs = forced(case("dual").graph, "spatial", on), case("dual").inputs[:1]
    network = Case(graph, inputs, run_reference(graph, inputs, keep=True))
    compiler = Compiler(graph, ARCH)
    assert compiler.image.apart == APART
    agree(network, compiler, 0)


@pytest.mark.parametrize("kib", [10, 11])
def test_a_gate_of_the_whole_map_picks_every_part_of_it_or_none(kib: int) -> None:
    """Its averages, too, which are made apart."""
    _, network = partly_on(lambda: SmallImageNet("aig", 2 * SIZE, 8, TILE, BasicBlock))
    compiler = Compiler(network.graph, replace(ARCH, scratchpad_kib=kib))
    assert "layer2.0.conv2" in compiler.image.apart
    bits = network.reference.decisions["layer2.0.mask_l"].reshape(-1)
    assert bits[2] and not bits[3]
    for position in (2, 3):
        compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"


def test_the_stepped_model_has_the_same_cycles() -> None:
    network, compiler = case("dual"), Compiler(case("dual").graph, ARCH)
    compared = agree(network, compiler, 0)
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    for output, values in network.reference.outputs_of(0).items():
        np.testing.assert_array_equal(stepped.outputs[output], values, err_msg=output)


def test_runs_are_the_pixels_of_the_tiles() -> None:
    rng = np.random.default_rng(5)
    for tile, edge in ((8, 4), (8, 2), (4, 4), (2, 1)):
        mask = rng.random((3, 5)) < 0.6
        entries = np.array([down << 8 | right for down, right in np.argwhere(mask)], np.uint16)
        drawn, width = np.zeros((3 * tile, 5 * tile), np.int64), 5 * tile
        for first in range(0, 3 * tile, edge):
            for tiles in runs_of_tiles(entries, tile, first, first + edge, width, edge):
                for number in range(tiles.start, tiles.start + len(tiles)):
                    down, right = divmod(number, width // edge)
                    assert down * edge == tiles.rows[number - tiles.start]
                    drawn[down * edge : (down + 1) * edge, right * edge : (right + 1) * edge] += 1
        np.testing.assert_array_equal(drawn, np.kron(mask, np.ones((tile, tile), np.int64)))


def test_averages_of_more_pixels_than_the_patch_buffer_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of 16x16 tiles: too large for one window of sums."""
    network = case_of(lively_imagenet("dual", 256, 8, 4), 256)
    in_turn = set[str]()
    original = AverageProduct.finish

    def finish(self: AverageProduct) -> None:
        in_turn.update([self.layer] if self.in_turn else [])
        original(self)

    monkeypatch.setattr(AverageProduct, "finish", finish)
    compiler = Compiler(network.graph, replace(ARCH, patch_kib=4, scratchpad_kib=64))
    agree(network, compiler, 1)
    assert in_turn


def test_sums_of_a_group_that_goes_along_are_not_overwritten() -> None:
    """Between its pieces a shortcut's products would take its accumulator bank."""
    network = case_of(lively_imagenet("dual", SIZE, 16, TILE, seed=5), SIZE)
    arch = replace(PRESETS["8x8"], weight_kib=24, patch_kib=8, scratchpad_kib=10)
    compiler = Compiler(network.graph, arch)
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position)
        assert compared.different == (), f"image {position}: {compared.different} differ"
