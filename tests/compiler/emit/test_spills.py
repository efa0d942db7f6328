"""Scratchpads so small that maps lie in DRAM: as source, destination and residual, dense and gated.

What passes through DRAM, and every map, average, decision and logit on chip, is the integer reference's, to the byte,
and audited. The stepped simulator agrees.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.reference import ReferenceResult, run_reference
from gatewright.contract.arch import BEAT_BYTES, PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.program_parts import Region
from gatewright.verify.expectations import expect
from tests.support.chain import compare_image
from tests.support.graphs import bottleneck_graph, chain_graph, random_inputs, resnet_graph


def arch(kib: int, **changes: int) -> ArchConfig:
    return replace(PRESETS["8x8"], **{"weight_kib": 16, "patch_kib": 8, "scratchpad_kib": kib, **changes})


def regions(program: Program) -> list[Region]:
    return [region for region in program.regions if region.kind == "map"]


def written_maps(program: Program, region: Region) -> list[npt.NDArray[np.int8]]:
    """What STOREs write to a region, in order, a map after the other. Also: both simulators agree in all cycles."""
    writes = expect(program).writes
    assert writes is not None
    sequence = writes.dram
    inside = (sequence.addresses >= region.address) & (sequence.addresses < region.address + region.size)
    whole = -(-region.size // BEAT_BYTES) * BEAT_BYTES
    data = sequence.data[inside].reshape(-1, whole)[:, : region.size].view(np.int8)
    addresses = sequence.addresses[inside].reshape(len(data), -1)
    assert (addresses == region.address + np.arange(0, whole, BEAT_BYTES)).all()
    return list(data)


def check(graph: QuantisedGraph, machine: ArchConfig, spilled: list[tuple[str, ...]]) -> tuple[Program, Compiler]:
    """The maps of each stream that go to DRAM, in the order in which they are written."""
    sample = random_inputs(graph, 1, 4)
    reference: ReferenceResult = run_reference(graph, sample, keep=True)
    compiler = Compiler(graph, machine)
    compared = compare_image(compiler, sample[0], reference, 0, audit=True)
    assert compared.different == ()
    found = regions(compared.program)
    assert [region.name for region in found] == [tensors[-1] for tensors in spilled]
    for region, tensors in zip(found, spilled, strict=True):
        maps = written_maps(compared.program, region)
        assert len(maps) == len(tensors)
        for name, data in zip(tensors, maps, strict=True):
            np.testing.assert_array_equal(data, reference.tensors[name][0].reshape(-1), err_msg=name)
    return compared.program, compiler


STREAM = ("conv1", "layer1.0.conv2")


@pytest.mark.parametrize(
    ("gated", "channels_gated", "kib", "ahead"),
    [(True, False, 9, (1, 1)), (True, False, 8, (0, 0)), (True, True, 8, (0, 0)), (False, False, 8, (1, 0))],
    ids=["spatial, ahead", "spatial", "dual, compact", "dense"],
)
def test_the_map_of_a_block_with_and_without_a_shortcut(
    gated: bool, channels_gated: bool, kib: int, ahead: tuple[int, int]
) -> None:
    graph = resnet_graph(8, gated=gated, channels_gated=channels_gated, size=16, seed=3, wider=2)
    program, compiler = check(graph, arch(kib), [STREAM])
    assert tuple(ring.ahead for ring in compiler.image.spills["conv1"].rings[1:]) == ahead
    for opcode, name in ((Opcode.GATHER, "wrap_row"), (Opcode.EPILOGUE, "wrap_row")):
        rows = program.code[(program.code[:, 0] == opcode)]
        names = np.array(program.layers)[program.code[:, 0] == opcode]
        layer = "layer1.0.conv1" if opcode == Opcode.GATHER else "layer1.0.conv2"
        assert rows[names == layer][:, column(opcode, name)].any(), (opcode, name)


@pytest.mark.parametrize("kib", [11, 12])
def test_convolutions_alone_and_rows_that_are_no_whole_beats(kib: int) -> None:
    """Rows of 30 columns and 6 or 10 channels have 180 or 300 bytes: four are whole beats. The last two come alone."""
    graph = chain_graph(30, ((6, 3, 1), (6, 3, 1), (10, 1, 1), (4, 3, 2)))
    _, compiler = check(graph, arch(kib), [("conv2",), ("conv0",)])
    assert [compiler.image.spilled[name].unit for name in ("conv0", "conv2")] == [4, 4]


@pytest.mark.parametrize(("size", "channels", "kib", "unit"), [(16, 32, 8, 1), (30, 10, 12, 4)])
def test_a_residual_that_the_pass_does_not_read_otherwise(size: int, channels: int, kib: int, unit: int) -> None:
    """Also where its rows are no whole beats."""
    graph = bottleneck_graph(size, channels, channels // 4 * 2)
    _, compiler = check(graph, arch(kib), [("conv0", "0.conv3", "1.conv3")])
    assert compiler.image.spilled["conv0"].unit == unit


def test_the_plan_says_how_often_a_map_is_moved() -> None:
    graph = resnet_graph(8, gated=False, size=16, seed=3, wider=2)
    plan = flow.plan(graph, arch(8))
    (stem,) = (layer for layer in plan.layers if layer.name == "conv1")
    (place,) = stem.maps
    assert (place.spilled, place.read, place.written, place.rows) == (4096, 2 * 4096, 2 * 4096, 16)
    assert "in DRAM, 4,096 B read 2.00 times, written 2.00 times; ring of 16 rows, 4,096 B at" in str(plan)


def test_what_fits_in_no_way_is_refused() -> None:
    with pytest.raises(GatewrightError, match=r"the scratchpad of 4 KiB cannot hold .* bytes are missing"):
        Compiler(resnet_graph(8, gated=False, size=16, seed=3, wider=8), arch(4))
