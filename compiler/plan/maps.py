"""Which maps are whole and of which only rows are kept: as few as possible are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.allocate import DoesNotFitError, MapPlan, RingWish, Spill, allocate_scratchpad
from gatewright.compiler.plan.bands import BandedBlock, bandable_blocks
from gatewright.compiler.plan.chains import Chain, chain_ways
from gatewright.compiler.plan.spills import ring_rows, rows_in_beats, streams
from gatewright.compiler.plan.stem import PooledConvolution
from gatewright.contract.arch import ArchConfig
from gatewright.contract.program import InputLayout


@dataclass(frozen=True)
class Residency:
    """What is computed by rows, what lies in DRAM, and where everything lies."""

    blocks: list[BandedBlock]
    spills: list[Spill]
    maps: MapPlan
    chains: tuple[Chain, ...] = ()


def plan_maps(
    graph: QuantisedGraph, arch: ArchConfig, layout: InputLayout, pooled: Sequence[PooledConvolution]
) -> Residency:
    """The blocks that are computed in bands, the maps that lie in DRAM, and where everything lies.

    The maps behind a max pool and the image before it are cut first, then blocks, those with the largest maps before
    the others, until everything fits. If it does not, maps go to DRAM, the largest first. In a network with grouped
    convolutions the chains around them are cut instead, and no map lies in DRAM.
    """
    if any(isinstance(layer, QuantisedConv) and layer.groups > 1 for layer in graph.layers):
        return _in_chains(graph, arch, layout)
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
    chosen = [*((rings, 0) for rings in range(len(wishes))), *((len(wishes), n) for n in range(len(blocks) + 1))]
    tried: list[tuple[int, list[BandedBlock], list[Spill], bool]]
    tried = [(rings, blocks[:count], [], True) for rings, count in chosen]
    tried += [(len(wishes), *way, True) for way in _spilled(graph, blocks)]
    tried.append((len(wishes), blocks, [], False))

    def place(rings: int, banded: list[BandedBlock], spills: list[Spill], strict: bool) -> MapPlan:
        size = pitch * layout.height
        return allocate_scratchpad(graph, arch, size, banded, wishes[:rings], pooled, spills, strict)

    refused: list[DoesNotFitError] = []
    for rings, banded, spills, strict in tried:
        try:
            plan = place(rings, banded, spills, strict)
            spilled = {name for spill in spills for name in spill.tensors}
            halved = [block if spilled & _whole_maps(block) else _halved(block, graph, plan) for block in banded]
            return Residency(halved, spills, plan if halved == banded else place(rings, halved, spills, strict))
        except DoesNotFitError as error:
            refused.append(error)
    raise min(refused, key=lambda error: error.missing)


def _in_chains(graph: QuantisedGraph, arch: ArchConfig, layout: InputLayout) -> Residency:
    """As ``plan_maps``, of a network with grouped convolutions."""
    pitch = layout.rows * layout.channels * layout.width
    refused: list[DoesNotFitError] = []
    for chosen in ((), *chain_ways(graph)):
        kept = {name: rows for chain in chosen for name, rows in chain.kept_rows.items()}
        rings = {name: rows * graph.shapes[name].width * graph.shapes[name].channels for name, rows in kept.items()}
        for chain in chosen:
            if chain.layers[0].source == graph.input and layout.rows == 1:
                rows = min(layout.height, chain.image_ring(rows_in_beats(pitch)))
                rings[graph.input] = rows * pitch
        together = [chain.layers for chain in chosen]
        try:
            plan = allocate_scratchpad(graph, arch, pitch * layout.height, fixed=rings, together=together)
            return Residency([], [], plan, chosen)
        except DoesNotFitError as error:
            refused.append(error)
    raise min(refused, key=lambda error: error.missing)


def _spilled(graph: QuantisedGraph, blocks: Sequence[BandedBlock]) -> Iterator[tuple[list[BandedBlock], list[Spill]]]:
    """Ways with maps in DRAM: few before many, few blocks in bands before many, rows ahead of their time before not."""
    candidates = streams(graph, blocks)
    for count in range(1, len(candidates) + 1):
        spilled = {name for tensors in candidates[:count] for name in tensors}
        for most in range(len(blocks) + 1):
            banded = [block for n, block in enumerate(blocks) if n < most or spilled & _whole_maps(block)]
            for ahead in (1, 0):
                rows = [ring_rows(graph, banded, tensors, ahead) for tensors in candidates[:count]]
                yield banded, [Spill(*way, ahead) for way in zip(candidates[:count], rows, strict=True)]


def _whole_maps(block: BandedBlock) -> set[str]:
    """What a block reads and writes."""
    return {block.first.source, *(layer.output for layer in block.layers if layer is not block.first)}


def _halved(block: BandedBlock, graph: QuantisedGraph, plan: MapPlan) -> BandedBlock:
    """The block with half rows of tiles if the ring of its middle map, all channels active, is too short for whole."""
    shape = graph.shapes[block.middle]
    return block.halved(graph, plan.ring_bytes[block.middle] // (shape.width * shape.channels))
