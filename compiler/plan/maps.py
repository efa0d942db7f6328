"""Which maps are whole and of which only rows are kept: as few as possible are cut."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.allocate import MapPlan, RingWish, Spill, allocate_scratchpad
from gatewright.compiler.plan.bands import BandedBlock, bandable_blocks
from gatewright.compiler.plan.chain_choice import choose_orders
from gatewright.compiler.plan.chains import Chain, chain_ways
from gatewright.compiler.plan.concatenated import Way as NormWay
from gatewright.compiler.plan.concatenated import has_norms, in_better_steps, ring_wishes, ways
from gatewright.compiler.plan.placement import DoesNotFitError
from gatewright.compiler.plan.rooms import RoomWish
from gatewright.compiler.plan.row_passes import RowPasses, Way
from gatewright.compiler.plan.spills import rows_in_beats
from gatewright.compiler.plan.stem import PooledConvolution
from gatewright.compiler.plan.tile_rings import least_bytes, ring_needs
from gatewright.compiler.plan.tiled import TiledPass, joined, off_chip_candidates, tiled_blocks
from gatewright.contract.arch import ArchConfig
from gatewright.contract.program_parts import InputLayout


@dataclass(frozen=True)
class Plan:
    """The blocks that are computed in bands, the maps that lie in DRAM row by row, and where everything lies.

    ``passes``: what goes by tiles or rows of maps in DRAM; ``off_chip``: these maps, those that share a place together.
    ``chains``: convolutions around grouped ones that are computed by rows. ``step_rows``: rows of a step of
    convolutions that go over maps in DRAM alone, if not as many as usual. ``apart``: maps whose averages are not made
    along, since their tiles are cut.
    """

    blocks: list[BandedBlock]
    spills: list[Spill]
    maps: MapPlan
    passes: list[TiledPass] = field(default_factory=list)
    off_chip: list[tuple[str, ...]] = field(default_factory=list)
    chains: tuple[Chain, ...] = ()
    step_rows: dict[str, int] = field(default_factory=dict)
    apart: set[str] = field(default_factory=set)


def _in_chains(graph: QuantisedGraph, arch: ArchConfig, layout: InputLayout, live: bool) -> Plan:
    """As ``plan_maps``, of a network with grouped convolutions."""
    pitch = layout.rows * layout.channels * layout.width
    refused: list[DoesNotFitError] = []

    def place(chosen: Sequence[Chain], ends: Mapping[str, bool] = MappingProxyType({})) -> MapPlan:
        kept = {name: rows for chain in chosen for name, rows in chain.kept_rows.items()}
        rings = {name: rows * graph.shapes[name].width * graph.shapes[name].channels for name, rows in kept.items()}
        for chain in chosen:
            if chain.layers[0].source == graph.input and layout.rows == 1:
                rows = min(layout.height, chain.image_ring(rows_in_beats(pitch)))
                rings[graph.input] = rows * pitch
        together = [chain.layers for chain in chosen]
        return allocate_scratchpad(graph, arch, pitch * layout.height, fixed=rings, together=together, ends=ends)

    for chosen in ((), *chain_ways(graph, live)):
        try:
            ordered, plan = choose_orders(graph, arch, chosen, place(chosen), place, live)
            return Plan([], [], plan, chains=ordered)
        except DoesNotFitError as error:
            refused.append(error)
    raise min(refused, key=lambda error: error.missing)


def _stem_wishes(graph: QuantisedGraph, layout: InputLayout, pooled: Sequence[PooledConvolution]) -> list[RingWish]:
    """The rings of the maps behind max pools, and of the image before one."""
    pitch = layout.rows * layout.channels * layout.width
    wishes: list[RingWish] = []
    for stem in pooled:
        shape = graph.shapes[stem.pool.source]
        row = shape.width * shape.channels
        wishes.append(RingWish(stem.pool.source, stem.wanted_rows(graph) * row, stem.kept_rows(graph) * row))
        if stem.convolution.source == graph.input and layout.rows == 1:
            size = stem.image_rows(graph, rows_in_beats(pitch)) * pitch
            wishes.append(RingWish(graph.input, size, size))
    return wishes


def _with_norms(
    graph: QuantisedGraph, arch: ArchConfig, layout: InputLayout, pooled: Sequence[PooledConvolution]
) -> Plan:
    """As ``plan_maps``, of a network whose batch norms or averages are layers of their own."""
    size = layout.rows * layout.channels * layout.width * layout.height
    wishes, refused = _stem_wishes(graph, layout, pooled), list[DoesNotFitError]()

    def place(way: NormWay, rings: int) -> Plan | None:
        chains, spills = way.chains, way.spills(graph, pooled)
        fixed, together = ring_wishes(graph, chains), [chain.layers for chain in chains]
        try:
            maps = allocate_scratchpad(
                graph, arch, size, (), wishes[:rings], pooled, spills, fixed=fixed, together=together
            )
            return Plan([], spills, maps, chains=chains)
        except DoesNotFitError as error:
            refused.append(error)
            return None

    for number, way in enumerate(ways(graph, pooled, arch)):
        for rings in range(len(wishes) + 1) if number == 0 else (len(wishes),):
            if plan := place(way, rings):
                better = in_better_steps(way, lambda which: place(which, len(wishes)) is not None, arch)
                return plan if better is way else place(better, len(wishes)) or plan
    raise min(refused, key=lambda error: error.missing)


def plan_maps(
    graph: QuantisedGraph,
    arch: ArchConfig,
    layout: InputLayout,
    pooled: Sequence[PooledConvolution],
    live: bool = False,
) -> Plan:
    """How the maps of a network lie.

    The maps behind a max pool and the image before it are cut first, then blocks, those with the largest maps before
    the others, until everything fits. If it does not, maps go to DRAM, the largest first: those of bottleneck blocks
    tile by tile, others row by row. In a network with grouped convolutions the chains around them are cut instead, and
    no map lies in DRAM. As a last resort, in networks with dilated convolutions, each pass over maps in DRAM has rings
    of its own, and steps of fewer rows; and dilated convolutions go over them one after the other, since the second of
    a block needs many of the first one's rows.

    For a ``live`` program no block is in bands: how many bytes a row of the map between its convolutions has only the
    machine knows. That map is whole, and the residual stream, whose rows have all channels, lies in DRAM.
    """
    if has_norms(graph):
        return _with_norms(graph, arch, layout, pooled)
    if any(isinstance(layer, QuantisedConv) and layer.groups > 1 for layer in graph.layers):
        return _in_chains(graph, arch, layout, live)
    pitch = layout.rows * layout.channels * layout.width
    wishes = _stem_wishes(graph, layout, pooled)
    blocks = [] if live else bandable_blocks(graph)
    chosen = [*((rings, 0) for rings in range(len(wishes))), *((len(wishes), n) for n in range(len(blocks) + 1))]
    refused: list[DoesNotFitError] = []

    def place(rings: int, banded: list[BandedBlock], spills: list[Spill], strict: bool) -> MapPlan:
        size = pitch * layout.height
        return allocate_scratchpad(graph, arch, size, banded, wishes[:rings], pooled, spills, strict)

    def try_bands(rings: int, banded: list[BandedBlock], spills: list[Spill], strict: bool = True) -> Plan | None:
        try:
            plan = place(rings, banded, spills, strict)
            spilled = {name for spill in spills for name in spill.tensors}
            halved = [block if spilled & _whole_maps(block) else _halved(block, graph, plan) for block in banded]
            return Plan(halved, spills, plan if halved == banded else place(rings, halved, spills, strict))
        except DoesNotFitError as error:
            refused.append(error)
            return None

    def by_rows(way: Way) -> Plan | None:
        plan = try_bands(len(wishes), way.blocks, way.spills(graph, pooled))
        return None if plan is None else replace(plan, step_rows=way.step_rows, apart=way.apart(pooled))

    def in_dram(cut: bool, banded: Sequence[BandedBlock] = blocks, adds_alone: bool = False) -> Plan | None:
        passes = RowPasses(graph, banded, pooled, arch, adds_alone, live)
        way = passes.choose(lambda which: by_rows(which) is not None, cut)
        return None if way is None else by_rows(way)

    def far_reaching() -> Iterator[Plan | None]:
        """Dilated convolutions one after the other: the second of a block needs many of the first one's rows."""
        near = [block for block in blocks if block.second.dilation == 1]
        if any(isinstance(la, QuantisedConv) and (la.dilation > 1 or la.beside) for la in graph.layers):
            yield from (in_dram(False, banded, True) for banded in ((blocks, near) if near != blocks else (blocks,)))

    def all_ways() -> Iterator[Plan | None]:
        for rings, count in chosen:
            yield try_bands(rings, blocks[:count], [])
        if live:
            yield from _tiled(graph, arch, pitch * layout.height, wishes, pooled, refused)
            yield in_dram(cut=False, adds_alone=True)
            return
        yield from _tiled(graph, arch, pitch * layout.height, wishes, pooled, refused)
        yield in_dram(cut=False)
        yield from far_reaching()
        yield try_bands(len(wishes), blocks, [], strict=False)
        yield in_dram(cut=True)

    for plan in all_ways():
        if plan is not None:
            return plan
    raise min(refused, key=lambda error: error.missing)


def _tiled(
    graph: QuantisedGraph,
    arch: ArchConfig,
    input_size: int,
    wishes: Sequence[RingWish],
    stems: Sequence[PooledConvolution],
    refused: list[DoesNotFitError],
) -> Iterator[Plan]:
    """Bottleneck blocks with maps in DRAM, as few of the largest as do. What does not fit is added to ``refused``."""
    found = tiled_blocks(graph)
    candidates = off_chip_candidates(graph, found)
    for count in range(1, len(candidates) + 1):
        off_chip = {name for chain in candidates[:count] for name in chain}
        blocks = [joined(block, graph, off_chip, arch.scratchpad_bytes) for block in found]
        passes = [one for block in blocks for one in block.passes(off_chip)]
        inside = {block.middle.output for block in blocks if block.joint}
        rooms = [_room(one, graph, arch, off_chip) for one in passes]
        rooms += [_pool_room(stem, graph) for stem in stems if stem.pool.output in off_chip]
        try:
            maps = allocate_scratchpad(
                graph, arch, input_size, (), wishes, stems, strict=True, off_chip=off_chip | inside, rooms=rooms
            )
        except DoesNotFitError as error:
            refused.append(error)
            continue
        yield Plan([], [], maps, passes, candidates[:count])


def _pool_room(stem: PooledConvolution, graph: QuantisedGraph) -> RoomWish:
    """Room for the rows of a max pool's output, whose map lies in DRAM."""
    shape = graph.shapes[stem.pool.output]
    size = stem.pool_rows(graph) * shape.width * shape.channels
    return RoomWish(stem.rings, tuple(stem.layers(graph)), size, size)


def _room(one: TiledPass, graph: QuantisedGraph, arch: ArchConfig, off_chip: Collection[str]) -> RoomWish:
    """Room for the rings of a pass, all channels active."""
    needs = ring_needs(one, graph, off_chip, lambda tensor: graph.shapes[tensor].channels)
    below = one.block.first.output if one.block.first.output_channels is not None else None
    return RoomWish(one.rings, one.layers, least_bytes(needs), arch.scratchpad_bytes, below)


def _whole_maps(block: BandedBlock) -> set[str]:
    """What a block reads and writes."""
    return {block.first.source, *(layer.output for layer in block.layers if layer is not block.first)}


def _halved(block: BandedBlock, graph: QuantisedGraph, plan: MapPlan) -> BandedBlock:
    """The block with half rows of tiles if the ring of its middle map, all channels active, is too short for whole."""
    shape = graph.shapes[block.middle]
    return block.halved(graph, plan.ring_bytes[block.middle] // (shape.width * shape.channels))
