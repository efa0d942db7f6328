"""Layers of random programs: a convolution cut in any way, and whole reductions and thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.isa import NO_TABLE, EpilogueKind, Only, Opcode, Stationary, Unit
from gatewright.verify.kit.generate.builder import Builder, Filters, Map, Mark, up
from gatewright.verify.kit.generate.operands import slices_of


@dataclass
class Layer:
    """How a convolution is cut: see ``emit_conv``."""

    stride: int = 1
    padding: int = 1
    relu: bool = True
    tile: int = 1
    chunk_tiles: int = 4
    tiles: list[tuple[int, int]] | None = None
    tile_table: int = NO_TABLE
    pixel_split: int = 1000
    slice_split: int = 1000
    gather_slices: int = 1000
    """Slices that are in the patch buffer at a time; with fewer than all, each part gathers its own."""
    filter_split: int = 4000
    stationary: tuple[Stationary, ...] = (Stationary.FILTERS,)
    filter_table: int = NO_TABLE
    filter_list: list[int] | None = None
    compact: bool = False
    residual: bool = False
    elsewhere: Map | None = None
    """The map that the residual comes from, in which a pixel stands for 2**upsample in both directions."""
    upsample: int = 0
    pool_address: int | None = None
    source_mask: dict[str, int] = field(default_factory=dict)
    channel_table: int = NO_TABLE
    most_channels: int | None = None
    """Given in the instructions where the channel table decides; the map has as many channels as the table entries."""
    most_stored: int | None = None
    """The same of a compact output map and its filter table."""
    tile_rows: tuple[int, int] | None = None
    """Only these rows of tiles, from the first to before the second."""
    some_channels: int | None = None
    """Of the source only so many channels are read, the first ones."""
    dilation: int = 1
    live: bool = False
    """Give the largest sizes and let the tables decide."""
    both_ways: bool = False
    """Emit each part twice: for all of its filters, and with the next operand standing for fewer. One has work."""
    in_order: list[Filters] = field(default_factory=list)
    """The filters of the list alone, in its order, those of each part in a region of their own."""
    gathers_for_filters: bool = False
    """Whether GATHER names the list, too: patches for filters that are not there are not formed."""
    without_work: int = 0
    """MATMULs of no pixels behind each one."""


def entries(arch: ArchConfig, stationary: Stationary, pixels: int, filters: int) -> int:
    """Accumulator entries of a product: one for each block of standing vectors and each streamed vector."""
    still, streamed = (filters, pixels) if stationary == Stationary.FILTERS else (pixels, filters)
    return -(-still // arch.columns) * streamed


def emit_conv(build: Builder, source: Map, filters: Filters, layer: Layer, target: Map, extra: list[Mark]) -> None:
    """A convolution in chunks of tiles, pixels, filters and slices, with every wait that it needs.

    ``target.values`` gives the output's shape; its contents are the oracle's business.
    """
    height, width, channels = source.values.shape
    count, kernel_height, kernel_width, _ = filters.weights.shape
    pitch = 0 if layer.some_channels is None else channels
    channels = layer.some_channels or channels
    channels = channels if layer.most_channels is None else layer.most_channels
    out_height, out_width, stored = target.values.shape
    grid = (-(-out_height // layer.tile), -(-out_width // layer.tile))
    total = grid[0] * grid[1] if layer.tiles is None or layer.live else len(layer.tiles)
    slices = slices_of(build.arch, kernel_height * kernel_width * channels)
    most = layer.filter_list is None or layer.live or layer.both_ways
    chosen = count if most else len(layer.filter_list or ())
    begin, end = (0, max(1, total)) if layer.tile_rows is None else (row * grid[1] for row in layer.tile_rows)
    build.hold_epilogue([*filters.ready, *extra, *target.ready])
    banks, number = build.banks(), 0
    bank_free = dict.fromkeys(banks, build.mark(Unit.EPILOGUE))
    pieces = range(0, slices, layer.gather_slices)
    for first_tile in range(begin, end, layer.chunk_tiles):
        tiles = {
            "tile": layer.tile,
            "tile_table": layer.tile_table,
            "first_tile": first_tile,
            "tile_count": min(layer.chunk_tiles, (total if layer.tile_rows is None else end) - first_tile),
        }
        top = first_tile // grid[1] * layer.tile
        bottom = min(out_height, ((first_tile + tiles["tile_count"] - 1) // grid[1] + 1) * layer.tile)
        low = max(0, top * layer.stride - layer.padding)
        high = min(height, (bottom - 1) * layer.stride - layer.padding + (kernel_height - 1) * layer.dilation + 1)
        source_address, source_wrap = source.rows(low, max(low, high))
        target_address, target_wrap = target.rows(top, max(top, bottom))
        vectors = up(tiles["tile_count"] * layer.tile**2, REGION_UNIT)
        reading = {
            "source": source_address,
            "height": height,
            "width": width,
            "channels": channels,
            "channel_table": layer.channel_table,
            "kernel_height": kernel_height,
            "kernel_width": kernel_width,
            "stride": layer.stride,
            "padding_y": layer.padding,
            "padding_x": layer.padding,
            "out_width": out_width,
            "patch_vectors": vectors,
            "slice_count": layer.gather_slices,
            "pixel_channels": pitch,
            "dilation": layer.dilation,
            **source_wrap,
            **tiles,
            **layer.source_mask,
        }
        waits = [*source.ready, *extra]
        words = min(slices, layer.gather_slices) * vectors
        if layer.gathers_for_filters:
            reading["filter_table"] = layer.filter_table
        gathered = _gather(build, waits, words, reading) if len(pieces) == 1 else None
        for first_pixel in range(0, tiles["tile_count"] * layer.tile**2, layer.pixel_split):
            for first_filter in range(0, chosen, layer.filter_split):
                pixels = min(layer.pixel_split, tiles["tile_count"] * layer.tile**2 - first_pixel)
                some = min(layer.filter_split, chosen - first_filter)
                for only in (Only.ALL, Only.FEWER) if layer.both_ways else (Only.ALWAYS,):
                    number += 1
                    bank = banks[number % len(banks)]
                    stationary = layer.stationary[number % len(layer.stationary)]
                    sizes = {
                        **tiles,
                        "first_pixel": first_pixel,
                        "pixel_count": layer.pixel_split,
                        "first_filter": first_filter,
                        "filter_count": some,
                        "filter_table": layer.filter_table,
                        "stationary": stationary,
                        "accumulator": build.accumulator_room(entries(build.arch, stationary, pixels, some)),
                        "bank": bank,
                        "only": only,
                    }
                    parts = layer.in_order or [filters]
                    weights = parts[min(first_filter // layer.filter_split, len(parts) - 1)]
                    needed = {"first_filter": first_filter} if layer.gathers_for_filters else {}
                    for piece in pieces:
                        mark, patch_base = gathered or _gather(build, waits, words, reading | needed, piece)
                        for first_slice in range(piece, min(slices, piece + layer.gather_slices), layer.slice_split):
                            product = {
                                **sizes,
                                "patch_base": patch_base + (first_slice - piece) * vectors // REGION_UNIT,
                                "patch_vectors": vectors,
                                "weight_base": (weights.base + first_slice * weights.vectors) // REGION_UNIT,
                                "weight_vectors": weights.vectors,
                                "in_order": int(bool(layer.in_order)),
                                "taps": kernel_height * kernel_width,
                                "channels": channels,
                                "channel_table": layer.channel_table,
                                "first_slice": first_slice,
                                "slice_count": min(layer.slice_split, piece + layer.gather_slices - first_slice),
                                "accumulate": int(first_slice > 0),
                            }
                            build.emit(Opcode.MATMUL, [mark, *weights.ready, bank_free[bank]], **product)
                            for _ in range(layer.without_work):
                                build.emit(Opcode.MATMUL, **product | {"pixel_count": 0})
                    bank_free[bank] = build.emit(
                        Opcode.EPILOGUE,
                        [build.mark(Unit.ARRAY)],
                        kind=EpilogueKind.STORE,
                        destination=target_address,
                        out_height=out_height,
                        out_width=out_width,
                        channels=stored if layer.most_stored is None else layer.most_stored,
                        compact=int(layer.compact),
                        parameters=filters.parameter,
                        residual=int(layer.residual),
                        relu=int(layer.relu),
                        pool=int(layer.pool_address is not None),
                        pool_address=layer.pool_address or 0,
                        grid_width=grid[1],
                        **_elsewhere(layer),
                        **target_wrap,
                        **sizes,
                    )
    target.ready = [build.mark(Unit.EPILOGUE)]


def _elsewhere(layer: Layer) -> dict[str, int]:
    """The fields of a residual that does not lie in the sum's place."""
    if layer.elsewhere is None:
        return {}
    width = layer.elsewhere.values.shape[1]
    return {"elsewhere": 1, "upsample": layer.upsample, "source": layer.elsewhere.address, "source_width": width}


def _gather(
    build: Builder, waits: list[Mark], words: int, fields: dict[str, int], first_slice: int = 0
) -> tuple[Mark, int]:
    """GATHER a piece of the reduction once no product reads patches any more: its mark, and its base."""
    base = build.patch_room(words)
    waits = [*waits, build.mark(Unit.ARRAY)]
    return build.emit(Opcode.GATHER, waits, patch_base=base, first_slice=first_slice, **fields), base


def gather_pixels(build: Builder, source: Map, kernel: int, waits: list[Mark], fields: dict[str, int]) -> Mark:
    """GATHER the pixels that ``fields`` name, each with its surroundings of ``kernel`` rows and columns."""
    height, width, channels = source.values.shape
    return build.emit(
        Opcode.GATHER,
        [*source.ready, build.mark(Unit.ARRAY), *waits],
        source=source.address,
        height=height,
        width=width,
        channels=channels,
        kernel_height=kernel,
        kernel_width=kernel,
        stride=1,
        padding_y=kernel // 2,
        padding_x=kernel // 2,
        out_width=width,
        **fields,
    )


def emit_whole(
    build: Builder,
    source: Map,
    filters: Filters,
    kind: EpilogueKind,
    destination: int,
    waits: list[Mark],
    window: tuple[int, int] | None = None,
    digits: bool = False,
) -> Mark:
    """A 1x1 or 3x3 layer over all pixels (or ``window``: the first, and how many), ending in ``kind``.

    REDUCE, REDUCE_RAW and THRESHOLD by several filters, which stand, take all pixels at once and as many filters as
    the accumulators hold. THRESHOLD by one filter has its pixels standing, as many as the buffers hold at a time.
    With ``digits`` the two pixels of the source are those of a sum.
    """
    height, width, channels = source.values.shape
    count, kernel_height, kernel_width, _ = filters.weights.shape
    one = count == 1 and kind == EpilogueKind.THRESHOLD
    begin, number = window or (0, height * width)
    slices = slices_of(build.arch, kernel_height * kernel_width * channels)
    step = min(number, build.arch.patch_words // slices // 4 * 4, build.arch.accumulator_depth) if one else number
    together = 1 if one else max(1, build.arch.accumulator_depth // number) * build.arch.columns
    build.hold_epilogue([*filters.ready, *waits])
    done = build.mark(Unit.EPILOGUE)
    for first in range(0, number, step):
        pixels = min(step, number - first)
        tiles = {"tile": 1, "first_tile": begin + first, "tile_count": pixels}
        vectors = up(pixels, 4)
        patch = {"patch_base": build.patch_room(slices * vectors), "patch_vectors": vectors}
        gathered = gather_pixels(build, source, kernel_height, waits, patch | tiles)
        for first_filter in range(0, count, together):
            chosen = min(together, count - first_filter)
            stationary = Stationary.PIXELS if one else Stationary.FILTERS
            sizes = tiles | {
                "pixel_count": pixels,
                "first_filter": first_filter,
                "filter_count": chosen,
                "stationary": stationary,
                "accumulator": build.accumulator_room(entries(build.arch, stationary, pixels, chosen)),
                "bank": build.banks()[0],
            }
            multiplied = build.emit(
                Opcode.MATMUL,
                [gathered, *filters.ready, build.mark(Unit.EPILOGUE)],
                weight_base=filters.base // 4,
                weight_vectors=filters.vectors,
                taps=kernel_height * kernel_width,
                channels=channels,
                slice_count=1000,
                **patch,
                **sizes,
            )
            done = build.emit(
                Opcode.EPILOGUE,
                [multiplied],
                kind=kind,
                destination=destination + (first + first_filter if kind == EpilogueKind.THRESHOLD else 0),
                out_height=height,
                out_width=width,
                channels=count,
                parameters=filters.parameter,
                relu=int(kind == EpilogueKind.REDUCE),
                digits=int(digits),
                **sizes,
            )
    return done
