"""A product of a live program whose filters come tap by tap (``plan.by_taps``): all of them for some pixels.

Pixels stand still, and the filters that the output's table lists stream past; or all filters stand, one block after the
other. The chunks of a pass add up side by side, each in an accumulator bank of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product as pairs

from gatewright.compiler.emit.access import reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.matrix import GATHER_AHEAD, Product, store
from gatewright.compiler.emit.operands import Patches, gather, tables_of
from gatewright.compiler.plan.by_taps import TOGETHER, pixels_together
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.isa import Opcode, Stationary


def passes(tiles: TileSet, filters: int, arch: ArchConfig) -> list[tuple[int, int]]:
    """(first, count) of the tiles of each pass over the filters.

    The last passes may find the list at its end, and no product then hides the LOADs: the first ones have fewer chunks.
    """
    chunks = _chunks(tiles, filters, arch)
    count = -(-len(chunks) // TOGETHER)
    groups = [chunks[len(chunks) * n // count : len(chunks) * (n + 1) // count] for n in range(count)]
    return [(group[0][0], sum(tiles_of for _, tiles_of in group)) for group in groups]


def convolve_by_taps(context: Context, loader: FilterLoader, product: Product) -> Iterator[None]:
    """A convolution over the tiles of one pass."""
    arch, name, tiles = context.arch, product.name, product.tiles
    bank = context.image.banks[name]
    chunks = _chunks(tiles, product.filters, arch)
    kept = [context.keep_bank() for _ in chunks]
    sums = [_sizes(product, *chunk) for chunk in chunks]
    steps = list(pairs(range(len(bank.pieces)), range(len(chunks))))
    gathered: list[Patches] = []
    loader.load_until(loader.turn[name] + 3)
    for number, (piece, chunk) in enumerate(steps):
        context.out.layer = name
        for ahead, of in steps[len(gathered) : number + 1 + GATHER_AHEAD]:
            slices = bank.pieces[ahead]
            words = slices.count * padded_vectors(chunks[of][1] * tiles.area)
            if len(gathered) > number and not context.may_gather_ahead(words):
                break
            gathered.append(_gather(context, product, chunks[of], slices))
        context.bank = kept[chunk]
        _multiply(context, loader, product, gathered[number], piece, sums[chunk])
        context.patches_multiplied(gathered[number].base)
        if chunk == len(chunks) - 1:
            loader.used_piece(name, piece, 0, product.serial)
    for bank_number, (first, count), sizes in zip(kept, chunks, sums, strict=True):
        context.out.layer, context.bank = name, bank_number
        store(context, product.output, tiles, first, count, sizes)
        if first + count < len(tiles):
            product.written(int(tiles.rows[first + count]) // tiles.tile)
    for bank_number in kept:
        context.release_bank(bank_number)
    yield


def _chunks(tiles: TileSet, filters: int, arch: ArchConfig) -> list[tuple[int, int]]:
    """As many pixels in each as stand still together: a list that ends early fills the first ones."""
    size = pixels_together(filters, arch) // tiles.area
    return [(first, min(size, len(tiles) - first)) for first in range(0, len(tiles), size)]


def _sizes(product: Product, first: int, count: int) -> dict[str, int]:
    """The fields of an instruction about a chunk and all filters."""
    return {
        "tile": product.tiles.tile,
        "first_tile": product.tiles.start + first,
        "tile_count": count,
        **product.tables,
        "first_pixel": 0,
        "pixel_count": count * product.tiles.pixels,
        "first_filter": 0,
        "filter_count": product.filters,
        "stationary": int(Stationary.FILTERS if product.filters_stand else Stationary.PIXELS),
    }


def _gather(context: Context, product: Product, chunk: tuple[int, int], slices: Slices) -> Patches:
    """Some slices of all channels, which lie as if all were active: what is behind the last active one is 0.

    Nothing is formed for channels that are all behind it.
    """
    tiles, width = product.tiles, product.output.width
    if product.reads is not None:
        tiles, width = product.reads, product.reads_width
    gate, arch = product.source.channel_gate, context.arch
    assert gate is not None
    first = slices.first % slices_of(product.source.channels, arch) * arch.rows
    needed = {"filter_table": gate.table, "first_filter": first} if first else None
    source = replace(product.source, channel_gate=None)
    return gather(context, source, width, tiles, *chunk, product.kernel, slices, needed=needed)


def _multiply(
    context: Context, loader: FilterLoader, product: Product, patches: Patches, piece: int, sizes: dict[str, int]
) -> None:
    """A piece of the filters: a reduction over the channels of its tap."""
    arch, source, gate = context.arch, product.source, product.source.channel_gate
    assert gate is not None
    slices = context.image.banks[product.name].pieces[piece]
    weights = loader.weights(product.name, 0, piece, product.serial)
    context.idle_port += slices.count * sizes["pixel_count"]
    if product.reads is not None and product.reads.table is not None:
        sizes = sizes | {"tile_table": product.reads.table}
    context.out.emit(
        Opcode.MATMUL,
        [
            *(reads("patch", *span) for span in patches.words(0, sizes["pixel_count"])),
            writes("accumulator", context.bank, context.bank + 1),
            *(reads("table", table, table + 1) for table in {*tables_of(sizes), gate.table}),
            reads("weight", weights.base, weights.base + slices.count * weights.vectors),
        ],
        patch_base=patches.base // REGION_UNIT,
        patch_vectors=patches.vectors,
        weight_base=weights.base // REGION_UNIT,
        weight_vectors=weights.vectors,
        taps=1,
        channels=source.channels,
        channel_table=gate.table,
        first_slice=slices.first % slices_of(source.channels, arch),
        slice_count=slices.count,
        bank=context.bank,
        accumulate=int(slices.first > 0),
        **sizes,
    )
