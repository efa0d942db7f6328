"""Edges: what is special about an instruction's sizes. Where tiles are cut, lists end, and nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gatewright.contract.arch import ACCUMULATOR_BANKS, MASK_BITS, ArchConfig
from gatewright.contract.isa import NO_MASK, NO_TABLE, EpilogueKind, Only, Opcode, Space, Stationary
from gatewright.verify.kit.coverage.executed import Executed
from gatewright.verify.kit.coverage.sizes import Sizes

PRODUCTS = (Opcode.MATMUL, Opcode.EPILOGUE)
TILED = (Opcode.GATHER, *PRODUCTS)
MAPS = (Opcode.GATHER, Opcode.EPILOGUE)
MOVERS = (Opcode.LOAD, Opcode.STORE)
DECIDERS = (Opcode.EXIT, Opcode.SKIP)

Holds = Callable[["Sizes"], bool]


@dataclass(frozen=True)
class Edge:
    """An edge, the opcodes that can have it, and how it is told."""

    name: str
    opcodes: tuple[Opcode, ...]
    meaning: str
    holds: Holds


def _is(field: str, value: int) -> Holds:
    return lambda sizes: sizes.fields[field] == value and not _idle(sizes)


def _idle(sizes: Sizes) -> bool:
    """Nothing to do at all."""
    if sizes.opcode in MOVERS:
        return sizes.work["bursts"] == 0
    return sizes.opcode in (Opcode.INDEX, *TILED) and sizes.work["cycles"] == 0


def _field(field: str) -> Holds:
    return lambda sizes: bool(sizes.fields[field]) and not _idle(sizes)


def _residual(sizes: Sizes, elsewhere: int) -> bool:
    return bool(sizes.fields["residual"]) and sizes.fields["elsewhere"] == elsewhere and not _idle(sizes)


def _ends_early(sizes: Sizes) -> bool:
    listed = sizes.listed("row_table")
    return listed is not None and listed - sizes.fields["first_row"] < sizes.fields["rows"]


EDGES = (
    Edge("no work", (*TILED, *MOVERS), "nothing is left to do: it completes at once", _idle),
    # Tiles.
    Edge("one tile", TILED, "a chunk of a single tile, of more than one pixel", lambda s: s.tiles == 1 and s.splits),
    Edge(
        "tile cut at the right",
        MAPS,
        "a tile crosses the output map's right edge",
        lambda s: s.cut(right=True, below=False),
    ),
    Edge(
        "tile cut below",
        (Opcode.EPILOGUE,),
        "a tile crosses the output map's lower edge",
        lambda s: s.cut(right=False, below=True),
    ),
    Edge(
        "tile cut in the corner",
        (Opcode.EPILOGUE,),
        "a tile crosses both edges",
        lambda s: s.cut(right=True, below=True),
    ),
    Edge("list of tiles empty", TILED, "the table lists no tile at all", lambda s: s.listed("tile_table") == 0),
    Edge(
        "chunk behind the list",
        TILED,
        "the table lists tiles, but none from the chunk's first on",
        lambda s: bool(s.listed("tile_table")) and s.tiles == 0 < s.fields["tile_count"],
    ),
    Edge(
        "list of tiles ends inside",
        TILED,
        "the table leaves some of the chunk's tiles",
        lambda s: s.partly("tile_table", s.tiles, "tile_count"),
    ),
    Edge(
        "list of tiles covers it",
        TILED,
        "the table leaves all of the chunk's tiles",
        lambda s: s.wholly("tile_table", s.tiles, "tile_count"),
    ),
    Edge(
        "begins inside a tile",
        PRODUCTS,
        "its first pixel is not a tile's first",
        lambda s: s.splits and s.fields["first_pixel"] % s.tile_pixels != 0,
    ),
    Edge(
        "ends inside a tile",
        PRODUCTS,
        "its last pixel is not a tile's last",
        lambda s: s.splits and (s.fields["first_pixel"] + s.work["pixels"]) % s.tile_pixels != 0,
    ),
    # Filters.
    Edge(
        "list of filters empty",
        TILED,
        "the table lists no filter at all",
        lambda s: s.listed("filter_table") == 0,
    ),
    Edge(
        "behind the list of filters",
        TILED,
        "the table lists filters, but none from the first on",
        lambda s: bool(s.listed("filter_table")) and (s.listed("filter_table") or 0) <= s.fields["first_filter"],
    ),
    Edge(
        "list of filters ends inside",
        PRODUCTS,
        "the table leaves some of its filters",
        lambda s: s.partly("filter_table", s.filters, "filter_count"),
    ),
    Edge(
        "list of filters covers it",
        PRODUCTS,
        "the table leaves all of its filters",
        lambda s: s.wholly("filter_table", s.filters, "filter_count"),
    ),
    Edge(
        "not its case",
        PRODUCTS,
        "`only` leaves it without work",
        lambda s: (s.fields["only"] == Only.ALL and 0 < s.filters < s.fields["filter_count"])
        or (s.fields["only"] == Only.FEWER and s.filters == s.fields["filter_count"] > 0),
    ),
    Edge("one filter", PRODUCTS, "a single one", lambda s: s.work["filters"] == 1 and not _idle(s)),
    Edge("one pixel", PRODUCTS, "a single one", lambda s: s.work["pixels"] == 1 and not _idle(s)),
    Edge(
        "last block part full",
        PRODUCTS,
        "of several blocks that stand the last has fewer vectors than the array has columns",
        lambda s: not _idle(s) and s.work["blocks"] > 1 and s.still % s.arch.columns != 0,
    ),
    Edge(
        "blocks all full",
        PRODUCTS,
        "every block that stands has as many vectors as the array has columns",
        lambda s: not _idle(s) and s.work["blocks"] > 0 and s.still % s.arch.columns == 0,
    ),
    # Reductions.
    Edge(
        "no channels",
        (Opcode.GATHER, Opcode.MATMUL),
        "the channel table lists none: a reduction of length 0",
        lambda s: s.listed("channel_table") == 0,
    ),
    Edge(
        "last slice part full",
        (Opcode.GATHER, Opcode.MATMUL),
        "the reduction ends inside its last slice",
        lambda s: not _idle(s) and s.work["reduction"] % s.arch.rows != 0,
    ),
    Edge(
        "part of the reduction",
        (Opcode.GATHER, Opcode.MATMUL),
        "it begins behind the first slice",
        _field("first_slice"),
    ),
    Edge("accumulates", (Opcode.MATMUL,), "it adds to what the entries hold", _field("accumulate")),
    Edge("filters in order", (Opcode.MATMUL,), "filters of a table that lie in its order", _field("in_order")),
    *(
        Edge(f"{operand.name.lower()} stand", PRODUCTS, "the operand that stands", _is("stationary", operand))
        for operand in Stationary
    ),
    *(
        Edge(f"bank {bank}", PRODUCTS, "the accumulators", _is("bank", bank)) for bank in range(ACCUMULATOR_BANKS)
    ),
    # What GATHER reads.
    Edge("padded", (Opcode.GATHER,), "the map has a border of zeros", lambda s: s.border),
    Edge("strided", (Opcode.GATHER,), "a stride over 1", lambda s: s.fields["stride"] > 1 and not _idle(s)),
    Edge("dilated", (Opcode.GATHER,), "a dilation over 1", lambda s: s.fields["dilation"] > 1 and not _idle(s)),
    Edge("pixels apart", (Opcode.GATHER,), "the first channels of wider pixels", _field("pixel_channels")),
    Edge(
        "masked",
        (Opcode.GATHER,),
        "inactive tiles of the input read as zero",
        lambda s: s.fields["source_mask"] != NO_MASK and not _idle(s),
    ),
    Edge("around a ring", MAPS, "the map lies in a ring of rows, whose end it passes", _field("wrap_row")),
    # What EPILOGUE makes.
    *(
        Edge(f"kind {kind.name}", (Opcode.EPILOGUE,), "what it makes of the entries", _is("kind", kind))
        for kind in EpilogueKind
    ),
    Edge("residual in place", (Opcode.EPILOGUE,), "it adds what the output map holds", lambda s: _residual(s, 0)),
    Edge("residual elsewhere", (Opcode.EPILOGUE,), "it adds another map", lambda s: _residual(s, 1)),
    Edge("coarser residual", (Opcode.EPILOGUE,), "it adds a coarser map", _field("upsample")),
    Edge("pools", (Opcode.EPILOGUE,), "it averages each tile as it writes it", _field("pool")),
    Edge("compact", (Opcode.EPILOGUE,), "a map of the active channels alone", _field("compact")),
    Edge("digits", (Opcode.EPILOGUE,), "its two entries are the digits of a sum", _field("digits")),
    # Transfers.
    *(
        Edge(f"to {space.name}", (Opcode.LOAD,), "the destination", _is("space", space))
        for space in Space
    ),
    Edge(
        "rows by table",
        (Opcode.LOAD,),
        "a table picks the rows, all that it is to read",
        lambda s: s.listed("row_table") is not None and not _ends_early(s),
    ),
    Edge("list of rows ends inside", (Opcode.LOAD,), "a table picks the rows, and ends before", _ends_early),
    Edge("several bursts", MOVERS, "rows, or a limit of 4 KiB inside of one", lambda s: s.work["bursts"] > 1),
    Edge(
        "bursts beyond the outstanding",
        (Opcode.LOAD,),
        "more bursts than may be under way",
        lambda s: s.work["bursts"] > s.arch.dram.outstanding,
    ),
    Edge("in a ring of images", MOVERS, "the address is that of the image under way", _field("ring")),
    # INDEX.
    Edge("lists nothing", (Opcode.INDEX,), "no bit is listed", lambda s: s.work["filters"] == 0),
    Edge(
        "lists everything",
        (Opcode.INDEX,),
        "every bit is listed",
        lambda s: 0 < s.work["filters"] == s.fields["bits"] - s.fields["first_bit"],
    ),
    Edge("lists zeros", (Opcode.INDEX,), "the complement", _field("complement")),
    Edge("lists from inside", (Opcode.INDEX,), "the first bits are not listed", _field("first_bit")),
    Edge("of several masks", (Opcode.INDEX,), "masks that follow one another", lambda s: s.fields["bits"] > MASK_BITS),
    Edge(
        "fills its table",
        (Opcode.INDEX,),
        "as many entries as a table has",
        lambda s: s.work["filters"] == s.arch.table_entries,
    ),
    # Decisions.
    Edge("taken", DECIDERS, "the table decides so", lambda s: bool(s.work["taken"])),
    Edge("not taken", DECIDERS, "the table decides against it", lambda s: not s.work["taken"]),
    Edge("by no table", DECIDERS, "it waits, and nothing else", lambda s: s.fields["count_table"] == NO_TABLE),
)  # fmt: skip


def edges_of(arch: ArchConfig, one: Executed) -> frozenset[str]:
    """The names of the edges that an instruction has."""
    sizes = Sizes(arch, one)
    return frozenset(edge.name for edge in EDGES if one.opcode in edge.opcodes and edge.holds(sizes))
