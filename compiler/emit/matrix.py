"""One matrix product on the machine: chunks of GATHER, MATMUL and EPILOGUE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from gatewright.compiler.emit.access import PORT_B, Access, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.operands import Patches, gather, multiply, tables_of
from gatewright.compiler.emit.placed_maps import ADDRESS_SPACE, Kernel, OutputMap, SourceMap, SourcePart
from gatewright.compiler.emit.plane_store import in_planes
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.live_chunks import live_chunks, split_live_chunk
from gatewright.compiler.plan.tile_sets import MOST_TILES, TileSet
from gatewright.compiler.plan.tiling import Part, chunks, even_chunks, first_pieces, split_chunk
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode

GATHER_AHEAD = 2
"""Chunks that are gathered, in program order, before the product of a chunk."""


@dataclass(frozen=True)
class Product:
    """A convolution over a tile set.

    ``written`` is told, between chunks, how many tile rows of the output will be complete early
    enough for instructions emitted there not to hold up this convolution. ``serial``: which pass over the filters
    this is. ``even``: chunks of about one size, of at most so many pixels, for a product among others.
    ``shrinks``: its chunks become small towards its end, since what comes behind waits for it.
    ``first_filter``: of filters that are resident, so many come before the ``filters`` that are meant.
    ``fine``: other work may come behind each part of a chunk, not behind whole chunks alone.
    ``followed`` is told, behind each group of streamed filters, how many of the output's channels are complete.
    ``reads``: the same tiles, in a map ``reads_width`` pixels wide, as GATHER counts them, if it counts otherwise.
    """

    name: str
    source: SourceMap
    output: OutputMap
    tiles: TileSet
    filters: int
    kernel: Kernel
    written: Callable[[int], None] = lambda rows: None
    followed: Callable[[int], None] = lambda channels: None
    serial: int = 0
    even: int | None = None
    shrinks: bool = False
    first_filter: int = 0
    reads: TileSet | None = None
    reads_width: int = 0
    fine: bool = False
    parts: tuple[SourcePart, ...] = ()
    """The maps that it reads, if they are several; ``source`` then has the channels of all."""

    def pixels_stand(self, columns: int) -> bool:
        """Whether pixels must stand still: where filters of a block of the array write to several planes."""
        return any(plane.first % columns for plane in self.output.planes)

    def within_reach(self) -> Product:
        """The product with maps that begin where its tiles do, if they are further than an instruction can count."""
        tiles, kernel = self.tiles, self.kernel
        if tiles.table is not None or tiles.start + len(tiles) <= MOST_TILES:
            return self
        row = int(tiles.rows[0])
        if self.output.residual_map is not None:
            row = row >> self.output.residual_map.shift << self.output.residual_map.shift
        above = row * kernel.stride - kernel.padding_y
        masked, reaches = self.source.tile_gate is not None, len(tiles) <= MOST_TILES and above >= 0
        if self.output.pool is not None or masked or row % tiles.tile or not reaches:
            raise GatewrightError(
                f"layer {self.name}: an instruction counts at most {MOST_TILES:,} tiles, and those from row {row} on "
                "are further; from there they cannot be counted at the top of the map, nor if they are pooled, or if "
                "tiles of what is read are gated: choose smaller images, or larger tiles"
            )
        across = -(-self.output.width // tiles.tile)
        moved = replace(tiles, rows=tiles.rows - row, start=tiles.start - row // tiles.tile * across)
        return replace(
            self,
            tiles=moved,
            source=self.source.from_row(above),
            output=self.output.from_row(row),
            kernel=replace(kernel, padding_y=0),
            written=lambda rows: self.written(rows + row // tiles.tile),
        )

    @property
    def tables(self) -> dict[str, int]:
        """The fields that name the tables of tiles and filters."""
        fields: dict[str, int] = {}
        if self.tiles.table is not None:
            fields["tile_table"] = self.tiles.table
        if self.output.channel_gate is not None:
            fields["filter_table"] = self.output.channel_gate.table
        return fields

    @property
    def filters_stand(self) -> bool:
        """Whether filters must stand still, or do, so that the epilogue takes fewer cycles."""
        return self.output.residual or self.output.pool is not None or self.fine

    def gather(
        self,
        context: Context,
        first: int,
        count: int,
        slices: Slices | None = None,
        pieces: Sequence[Slices] = (),
        first_filter: int | None = None,
    ) -> Patches:
        """Gather tiles [first, first + count); for filters from ``first_filter`` on, of which a table may have none.

        Without that number the machine does not wait to know how many there are.
        """
        tiles, width = (self.tiles, self.output.width) if self.reads is None else (self.reads, self.reads_width)
        if self.parts and slices is not None:
            part = max(
                (one for one in self.parts if one.slices.first <= slices.first), key=lambda one: one.slices.first
            )
            own = Slices(slices.first - part.slices.first, slices.count)
            base, vectors, _ = gather(context, part.source, width, tiles, first, count, self.kernel, own)
            return Patches(base, vectors, slices)
        gate, needed = self.output.channel_gate, dict[str, int]()
        if gate is not None and gate.live and first_filter:  # the first patches need not wait for that table
            needed = {"filter_table": gate.table, "first_filter": first_filter}
        return gather(context, self.source, width, tiles, first, count, self.kernel, slices, pieces, needed)

    def multiply(
        self, context: Context, loader: FilterLoader, patches: Patches, sizes: dict[str, int], group: int = 0
    ) -> None:
        """Multiply gathered patches by a group of the filters. The table that GATHER has read says how many tiles."""
        if self.reads is not None and self.reads.table is not None:
            sizes = sizes | {"tile_table": self.reads.table}
        multiply(context, loader, self.name, self.source, self.kernel.taps, patches, sizes, group, self.serial)


def convolve(context: Context, loader: FilterLoader, product: Product) -> Iterator[None]:
    """A convolution chunk by chunk; the gather runs ahead in program order."""
    tiles, name = product.tiles, product.name
    slices = slices_of(product.kernel.taps * product.source.channels, context.arch)
    pieces = _chunks(context, product, slices)
    at_first = first_pieces(tiles, slices, product.kernel.piece_unit(product.source, context.arch))
    gathered: list[Patches] = []
    for number, piece in enumerate(pieces):
        context.out.layer = name
        # What is behind a SKIP waits for its table to be complete: the first gathers, which do so anyhow, come before.
        with context.out.before_skip() if number == 0 else nullcontext():
            for ahead in pieces[len(gathered) : number + 1 + GATHER_AHEAD]:
                words = slices * padded_vectors(ahead[1] * tiles.area)
                if len(gathered) > number and not context.may_gather_ahead(words):
                    break
                gathered.append(product.gather(context, *ahead, pieces=() if gathered else at_first))
        if number == 1:
            loader.load_until(loader.turn[name] + 3)
        yield from _multiply(context, loader, product, piece, gathered[number], () if number else at_first)
        lag = GATHER_AHEAD if len(gathered) < len(pieces) else 1
        if lag <= number < len(pieces) - 1:
            first, count = pieces[number - lag]
            product.written(int(tiles.rows[first + count]) // tiles.tile)
        yield


def _chunks(context: Context, product: Product, slices: int) -> list[tuple[int, int]]:
    """The chunks of a product whose reduction has so many slices."""
    tiles, gate = product.tiles, product.output.channel_gate
    if product.even is not None:
        return even_chunks(tiles, context.arch, slices, product.even)
    if tiles.bottom is not None and tiles.height is None and gate is not None:
        return live_chunks(tiles, slices, product.filters, context.arch)
    return chunks(tiles, slices, context.arch, context.arch.patch_words, eager=gate is None)


def _multiply(
    context: Context,
    loader: FilterLoader,
    product: Product,
    chunk: tuple[int, int],
    patches: Patches,
    pieces: Sequence[Slices],
) -> Iterator[None]:
    """The MATMULs and EPILOGUEs of a chunk; the first of them for the patches as they come, piece by piece.

    A product that is ``fine`` is interrupted between its parts.
    """
    (first, count), tiles, arch = chunk, product.tiles, context.arch
    pixels = count * tiles.pixels
    if pixels > arch.accumulator_depth:
        raise GatewrightError(
            f"arch {arch.name}: a tile of {product.name} needs {pixels} accumulator entries; raise accumulator_depth"
        )
    fields = {"tile": tiles.tile, "first_tile": tiles.start + first, "tile_count": count, **product.tables}
    gate = product.output.channel_gate
    parts: Sequence[Sequence[Part]]
    if gate is not None and gate.live and not product.filters_stand:
        parts = split_live_chunk(count, tiles.pixels, product.filters, arch)
    else:
        one = product.filters_stand, arch.accumulator_depth, product.pixels_stand(arch.columns)
        parts = [[part] for part in split_chunk(pixels, product.filters, arch, gate is not None, *one)]
    for number, ways in enumerate(parts):
        if product.fine and number:
            yield
        context.next_bank()
        multiplied = []
        for part in ways:
            sizes = fields | {
                "first_pixel": tiles.first_pixel + part.first_pixel,
                "pixel_count": part.pixels,
                "first_filter": product.first_filter + part.first_filter,
                "filter_count": part.filters,
                "stationary": int(part.stationary),
            }
            if part.only:
                sizes["only"] = int(part.only)
            for piece in pieces or [patches.slices]:
                product.multiply(context, loader, patches.piece(piece), sizes)
            multiplied.append(sizes)
        pieces = ()
        if product.fine:
            yield
        for sizes in multiplied:
            store(context, product.output, tiles, first, count, sizes)
    context.patches_multiplied(patches.base)


def store(
    context: Context,
    output: OutputMap,
    tiles: TileSet,
    first: int,
    count: int,
    sizes: dict[str, int],
) -> None:
    """Write the results of a product whose entries are complete."""
    for part, of_part in in_planes(output, sizes, context.arch.columns):
        _store(context, part, tiles, first, count, of_part)


def _store(
    context: Context,
    output: OutputMap,
    tiles: TileSet,
    first: int,
    count: int,
    sizes: dict[str, int],
) -> None:
    """Write results that lie together."""
    by_position = output.moving and tiles.gate_rows is None
    begin, end = tiles.listed_span(first, count) if by_position else tiles.span(first, count)
    placed = output.rows(begin, min(output.height, end))
    if output.moving and not first and not tiles.rows[0]:
        # Whoever used the region before: their bytes may lie anywhere in it, and so may those that are written here.
        placed = replace(placed, ranges=output.rows(0, output.height).ranges)
    entries = sizes["first_filter"] + sizes["filter_count"] if output.first_channel is not None else output.channels
    accesses = [
        reads("accumulator", context.bank, context.bank + 1),
        *(writes("scratchpad", *place) for place in placed.ranges),
        PORT_B,
        Access("parameter", output.parameters - 1, output.parameters + entries, early=True),
        *(Access("table", table, table + 1, early=True) for table in tables_of(sizes)),
    ]
    extra = dict(placed.wrap)
    if output.pool is not None:
        grid = -(-output.width // output.pool.tile)
        pitch = grid * output.stored
        top, bottom = begin // tiles.tile, end // tiles.tile
        accesses.append(writes("scratchpad", output.pool_address + top * pitch, output.pool_address + bottom * pitch))
        extra |= {"pool": 1, "pool_address": output.pool_address + (output.first_channel or 0), "grid_width": grid}
    if (residual := output.residual_map) is not None:
        added = residual.rows(begin, min(output.height, end))
        accesses += [reads("scratchpad", *place) for place in added.ranges]
        extra |= {
            "elsewhere": 1,
            "upsample": residual.shift,
            "source": (added.address + (output.first_channel or 0)) % ADDRESS_SPACE,
            "source_width": residual.width,
        }
    context.out.emit(
        Opcode.EPILOGUE,
        accesses,
        kind=EpilogueKind.STORE,
        destination=(placed.address + output.offset + (output.first_channel or 0)) % ADDRESS_SPACE,
        out_height=output.height,
        out_width=output.width,
        # With a compact map the number says only how far apart the averages of two tiles lie.
        channels=output.pitch or (output.channels if output.pool is None else output.stored),
        compact=int(output.channel_gate is not None and not output.pitch),
        bank=context.bank,
        parameters=output.parameters,
        residual=int(output.residual),
        relu=int(output.relu),
        **sizes,
        **extra,
    )
    context.idle_port -= sizes["pixel_count"] * (1 + output.residual)
    context.beside()
