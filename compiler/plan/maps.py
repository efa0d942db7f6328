"""Which maps are whole and of which only rows are kept: as few as possible are cut."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.plan.allocate import MapPlan, RingWish, allocate_scratchpad
from gatewright.compiler.plan.bands import BandedBlock, bandable_blocks
from gatewright.compiler.plan.stem import PooledConvolution, rows_in_beats
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import InputLayout


def plan_maps(
    graph: QuantisedGraph, arch: ArchConfig, layout: InputLayout, pooled: Sequence[PooledConvolution]
) -> tuple[list[BandedBlock], MapPlan]:
    """The blocks that are computed in bands, and where everything lies.

    The maps behind a max pool and the image before it are cut first, then blocks, those with the largest maps before
    the others, until everything fits.
    """
    pitch = layout.rows * layout.channels * layout.width
    wishes: list[RingWish] = []
    for stem in pooled:
        shape = graph.shapes[stem.pool.source]
        row = shape.width * shape.channels
        wishes.append(RingWish(stem.pool.source, stem.wanted_rows(graph) * row, stem.kept_rows(graph) * row))
        if stem.convolution.source == graph.input and layout.rows == 1:
            size = stem.image_rows(graph, rows_in_beats(pitch)) * pitch
            wishes.append(RingWish(graph.input, size, size))
    blocks = bandable_blocks(graph)
    tried = [(0, 0), *((rings, 0) for rings in range(1, len(wishes) + 1))]
    tried += [(len(wishes), count) for count in range(1, len(blocks) + 1)]
    for rings, count in tried:
        try:
            banded = blocks[:count]
            plan = allocate_scratchpad(graph, arch, pitch * layout.height, banded, wishes[:rings], pooled)
            halved = [_halved(block, graph, plan) for block in banded]
            if halved != banded:
                plan = allocate_scratchpad(graph, arch, pitch * layout.height, halved, wishes[:rings], pooled)
            return halved, plan
        except GatewrightError:
            if (rings, count) == tried[-1]:
                raise
    raise AssertionError("there is at least one trial")


def _halved(block: BandedBlock, graph: QuantisedGraph, plan: MapPlan) -> BandedBlock:
    """The block with half rows of tiles if the ring of its middle map, all channels active, is too short for whole."""
    shape = graph.shapes[block.middle]
    return block.halved(graph, plan.ring_bytes[block.middle] // (shape.width * shape.channels))
