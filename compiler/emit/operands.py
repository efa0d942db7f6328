"""The two halves of a product: patches are gathered, and multiplied by loaded filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gatewright.compiler.emit.access import reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.filter_use import part_of
from gatewright.compiler.emit.placed_maps import Kernel, SourceMap
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.contract.arch import BEAT_BYTES, MASK_COLUMNS
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode


class Patches(NamedTuple):
    """A gathered chunk in the patch buffer: the word of its first slice, vectors of the region, and its slices."""

    base: int
    vectors: int
    slices: Slices

    def piece(self, slices: Slices) -> Patches:
        """Some of the slices, where they lie in the region."""
        return Patches(self.base + (slices.first - self.slices.first) * self.vectors, self.vectors, slices)

    def words(self, first: int, count: int) -> list[tuple[int, int]]:
        """The ranges of words that hold vectors [first, first + count) of every slice."""
        low = self.base + first
        if count + REGION_UNIT > self.vectors:
            return [(low, low + (self.slices.count - 1) * self.vectors + count)]
        starts = range(low, low + self.slices.count * self.vectors, self.vectors)
        return [(start, start + count) for start in starts]


def gather(
    context: Context,
    source: SourceMap,
    out_width: int,
    tiles: TileSet,
    first: int,
    count: int,
    kernel: Kernel,
    slices: Slices | None = None,
    pieces: Sequence[Slices] = (),
    needed: dict[str, int] | None = None,
) -> Patches:
    """Form the patches of tiles [first, first + count): all their slices, or those given; whole, or piece by piece.

    ``needed``: the fields that say for which filters; without any the machine forms nothing.
    """
    chosen = slices or Slices(0, slices_of(kernel.taps * source.channels, context.arch))
    vectors = padded_vectors(count * tiles.area)
    patches = Patches(context.take_patches(chosen.count * vectors), vectors, chosen)
    if source.channels:
        for piece in pieces or [chosen]:
            gather_into(context, source, out_width, tiles, first, count, kernel, patches.piece(piece), needed)
    return patches


def gather_into(
    context: Context,
    source: SourceMap,
    out_width: int,
    tiles: TileSet,
    first: int,
    count: int,
    kernel: Kernel,
    patches: Patches,
    needed: dict[str, int] | None = None,
) -> None:
    """Form the patches of tiles [first, first + count) from the given word of a region on."""
    base, vectors, slices = patches
    begin, end = _span(source, tiles, first, count, kernel)
    if source.moving and source.tile_gate is not None and tiles.gate_rows is None:  # positions have the kernel's reach
        low, bottom = begin * kernel.stride, end * kernel.stride
    else:
        top, reach = _rows_of_slices(context, source, kernel, slices)
        low = max(0, begin * kernel.stride - kernel.padding_y + top)
        bottom = (end - 1) * kernel.stride - kernel.padding_y + reach
    placed = source.rows(min(low, source.height), max(low, min(source.height, bottom)))
    accesses = [
        *(reads("scratchpad", *place) for place in placed.ranges),
        *(writes("patch", *words) for words in patches.words(0, count * tiles.area)),
    ]
    fields = dict(placed.wrap)
    if tiles.table is not None:
        accesses.append(reads("table", tiles.table, tiles.table + 1))
        fields["tile_table"] = tiles.table
    if source.channel_gate is not None:
        accesses.append(reads("table", source.channel_gate.table, source.channel_gate.table + 1))
        fields["channel_table"] = source.channel_gate.table
    if needed is not None:
        accesses += [reads("table", table, table + 1) for table in tables_of(needed)]
        fields |= needed
    if source.follows is not None:
        accesses.append(reads("table", source.follows, source.follows + 1))
    if source.tile_gate is not None:
        gate = source.tile_gate
        if kernel.width > MASK_COLUMNS:
            raise GatewrightError(
                f"layer {context.out.layer}: a kernel of {kernel.width} columns reads a map with gated tiles; "
                f"the machine can mask at most {MASK_COLUMNS}: use a smaller kernel, or no spatial gate before it"
            )
        accesses.append(reads("mask", gate.mask, gate.mask + 1))
        fields |= {"source_mask": gate.mask, "source_tile": gate.tile_in(source.height), "source_grid": gate.grid[1]}
    context.out.emit(
        Opcode.GATHER,
        accesses,
        source=placed.address,
        height=source.height,
        width=source.width,
        channels=source.channels,
        kernel_height=kernel.height,
        kernel_width=kernel.width,
        stride=kernel.stride,
        padding_y=kernel.padding_y,
        padding_x=kernel.padding_x,
        out_width=out_width,
        pixel_channels=source.pitch if source.apart else 0,
        dilation=kernel.dilation if kernel.dilation > 1 else 0,
        tile=tiles.tile,
        first_tile=tiles.start + first,
        tile_count=count,
        patch_base=base // REGION_UNIT,
        patch_vectors=vectors,
        first_slice=slices.first,
        slice_count=slices.count,
        **fields,
    )


def _rows_of_slices(context: Context, source: SourceMap, kernel: Kernel, slices: Slices) -> tuple[int, int]:
    """Rows [first, end) of the kernel's reach that some slices of a patch are of: all where the machine knows.

    In a live program steps follow one another by what little room a ring has, and begin with the rows that are there.
    """
    row = kernel.width * source.channels
    if not context.live or source.channel_gate is not None or not row:
        return 0, kernel.reach
    first = slices.first * context.arch.rows // row
    last = min(((slices.first + slices.count) * context.arch.rows - 1) // row, kernel.height - 1)
    return first * kernel.dilation, last * kernel.dilation + 1


def _span(source: SourceMap, tiles: TileSet, first: int, count: int, kernel: Kernel) -> tuple[int, int]:
    """The output rows [begin, end) of tiles for which a GATHER reads a map.

    A map that moves is read as it was written: by the positions of tiles in their list, as if the list had all
    tiles. Active tiles that touch are no farther apart in their list than in the map. The last of the tiles stand for
    the whole region: whoever uses it next waits for them.
    """
    end, beyond = first + count, 0
    if source.moving:
        last = end == len(tiles) and (tiles.bottom is None or tiles.bottom * kernel.stride >= source.height)
        if last or source.at_once:
            return 0, source.height
        if source.tile_gate is not None:
            tile = source.tile_gate.tile_in(source.height)
            rows_of_tiles = -(-max(kernel.padding_y, kernel.reach - 1 - kernel.padding_y) // tile)
            beyond = rows_of_tiles * (source.tile_gate.grid[1] + 1) + _tiles_of_a_word(source, tile)
    begin = int(tiles.rows[max(0, first - beyond)])
    if tiles.bottom is not None and (not source.moving or tiles.gate_rows is not None):
        return begin, tiles.bottom
    return begin, int(tiles.rows[min(len(tiles), end + beyond) - 1]) + tiles.tile


def _tiles_of_a_word(source: SourceMap, tile: int) -> int:
    """Tiles that may share a word of the scratchpad with what is read, where rows of tiles do not begin with a word.

    Whatever the number of channels: a tile has one byte of each pixel at least.
    """
    down, across = source.height % tile or tile, source.width % tile or tile
    begins = source.width % tile == 0 and source.height % tile == 0 and tile * source.width % BEAT_BYTES == 0
    return 0 if begins else -(-BEAT_BYTES // (down * across))


def multiply(
    context: Context,
    loader: FilterLoader,
    bank_name: str,
    source: SourceMap,
    taps: int,
    patches: Patches,
    sizes: dict[str, int],
    group: int = 0,
    serial: int = 0,
    accumulator: int = 0,
    stored: tuple[int, bool] | None = None,
) -> None:
    """Multiply gathered patches by a group of a filter bank into the accumulator bank whose turn it is.

    The results go to its entries from ``accumulator`` on. Patches that begin behind slice 0 are added to what the bank
    holds. A streamed bank takes a MATMUL for each of its pieces. ``stored``: where the slices lie among those of a
    filter, if not all of the reduction are there, and whether there are sums to add to.
    """
    bank = context.image.banks[bank_name]
    fields = dict(sizes)
    if bank.listed:
        # The group was picked by the table as it was loaded, and its vectors are in order.
        if context.live:
            assert fields["first_filter"] == group * bank.group
            fields["in_order"] = 1
        else:
            fields["first_filter"] = 0
            fields.pop("filter_table", None)
    elif bank.picked:
        fields["filter_table"] = context.gates[str(bank.output_gate)].group_tables[bank.group]
    elif bank.streamed:
        fields["first_filter"] -= group * bank.group
    pieces = bank.pieces_in(group) if source.channels else bank.pieces_in(group)[:1]
    for number, piece in enumerate(pieces):
        part = part_of(piece, patches.slices) if len(pieces) > 1 else patches.slices
        if part.count <= 0:
            continue
        context.idle_port += part.count * sizes["pixel_count"]
        region = patches.piece(part)
        words = region.words(sizes.get("first_pixel", 0), sizes["pixel_count"])
        accesses = [
            *(reads("patch", *span) for span in words),
            writes("accumulator", context.bank, context.bank + 1),
            *(reads("table", table, table + 1) for table in {*tables_of(sizes), *tables_of(fields)}),
        ]
        weights = loader.weights(bank_name, group, number, serial)
        extra: dict[str, int] = {}
        if source.channels:
            place = part.first - weights.first_slice if stored is None else stored[0]
            word = weights.base + place * weights.vectors
            accesses.append(reads("weight", word, word + part.count * weights.vectors))
            extra["weight_base"] = (word) // REGION_UNIT
        if source.channel_gate is not None:
            extra["channel_table"] = source.channel_gate.table
            accesses.append(reads("table", source.channel_gate.table, source.channel_gate.table + 1))
        context.out.emit(
            Opcode.MATMUL,
            accesses,
            patch_base=region.base // REGION_UNIT,
            patch_vectors=patches.vectors,
            weight_vectors=weights.vectors,
            taps=taps,
            channels=source.channels,
            first_slice=part.first,
            slice_count=part.count,
            bank=context.bank,
            accumulator=accumulator,
            accumulate=int(part.first > 0 if stored is None else stored[1]),
            **fields,
            **extra,
        )


def tables_of(sizes: dict[str, int]) -> list[int]:
    """The tables that bound an instruction's tiles and filters."""
    return [sizes[name] for name in ("tile_table", "filter_table") if name in sizes]
