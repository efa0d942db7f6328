"""What an EPILOGUE needs to know from its start on, worked out while it waits at its queue's head."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import TRANSPOSED_FILTERS, ArchConfig
from gatewright.contract.encodings import MOST_DEPTHWISE_WINDOW
from gatewright.contract.isa import NO_TABLE, EpilogueKind, Opcode, Stationary, Unit
from gatewright.hw.control.sizes import Sizes
from gatewright.hw.layouts import PLACE, head_layout, operand_layout
from gatewright.hw.lib.rotation import small_product
from gatewright.hw.signatures import LANE_COUNT_BITS, POSITION_BITS, SCRATCHPAD_ADDRESS_BITS, count_bits, table_counts

_FIELDS = operand_layout(Opcode.EPILOGUE)
COPIED = (
    "out_height",
    "out_width",
    "tile",
    "tile_table",
    "filter_table",
    "first_filter",
    "channels",
    "accumulator",
    "bank",
    "parameters",
    "residual",
    "pool",
    "digits",
    "wrap_row",
    "wrap_bytes",
    "elsewhere",
    "upsample",
    "source_width",
)
"""Operands that stand in WORK as they are."""

VECTOR_BITS = _FIELDS["filter_count"].width
"""Pixels or filters of an instruction."""

KERNEL_BITS = ceil_log2(MOST_DEPTHWISE_WINDOW)
"""A row or a column of a depthwise kernel, or which parameter entry of a channel it is."""


def inside_shape(arch: ArchConfig) -> Shape:
    """Of a pixel's place inside its tile, or of a window's pixel relative to the window's place without ``inset``.

    Of the kind DEPTHWISE: relative to that of its tile's first window.
    """
    return signed(PLACE["inside_y"].width + 1 + arch.depthwise)


COLUMNS_LEFT = signed(PLACE["tile_x"].width + _FIELDS["tile"].width + 1)
"""Shape of the columns of the map from a tile's first one on; behind a row's last tile they are less than 0."""


def work_layout(arch: ArchConfig) -> data.StructLayout:
    """The instruction at work. Of its kind, exactly one of ``store``, ``reduce``, ``raw`` and ``threshold`` is 1.

    ``windows``: kind MAX or beyond; then ``store`` is 1, too. ``maximum``: kind MAX, ``split``: kind DIGITS, ``taps``:
    kind TAPS, whose addresses are accumulator entries and mask bits.
    ``pixels``, ``filters``: effective counts. ``standing``: those of the stationary operand, ``more`` of them behind
    the first block (negative if there is room in it), ``last_lane`` the last of the first block. ``group``: filters
    that an address moves on by. ``preload``: parameters are read before the run, ``single``: just one, for all lanes;
    ``preload_ends``: the one of the start is the last.
    ``base``: byte address of channel 0 of the list, or the first mask bit; ``residual_base``: that of a residual from
    elsewhere. ``last_inside``: the last pixel of a tile.

    Addresses and slots take a window for a tile: its pixels are those of the source, and what is written stands in the
    pooled map's place. ``paired``: something is written behind each tile. ``pitch``: from a tile to the next.
    ``inside_first``, ``inside_last``: a tile's rows and columns. ``height``, ``width``: of the map with the pixels,
    ``wraps``: it lies in a ring of rows. ``pooled_width``: of the map with what is written behind the tiles.
    ``reads``: pixels' bytes come through the residual's queue, ``adds``: to the end of the lanes.

    ``listed``: a table lists the filters.

    ``depthwise``: kind DEPTHWISE. A column of a window is what is a tile to others: its pixels lie below each other.
    ``kernel_last``: the kernel's edge less 1, ``skipped``: columns between two that complete a result.
    ``first_row``, ``first_result``: the first result in its tile; ``last_result``: of a tile the last row, or column.

    ``position``: where the first tile stands in its table; ``columns_left``: of the map, from its first column on;
    ``row_last``: there is no tile beside it.
    """
    lane = ceil_log2(arch.columns)
    return data.StructLayout(
        {
            **{name: _FIELDS[name].width for name in COPIED},
            "empty": 1,
            "store": 1,
            "reduce": 1,
            "raw": 1,
            "threshold": 1,
            "windows": 1,
            "maximum": 1,
            "split": 1,
            "taps": 1,
            "depthwise": 1,
            "listed": 1,
            "kernel_last": KERNEL_BITS,
            "skipped": 1,
            "first_row": PLACE["inside_y"].width,
            "first_result": PLACE["inside_x"].width,
            "last_result": PLACE["inside_x"].width,
            "before_last": PLACE["inside_x"].width,
            "by_pixel": 1,
            "relu": 1,
            "reads": 1,
            "adds": 1,
            "paired": 1,
            "pixels": VECTOR_BITS,
            "filters": VECTOR_BITS,
            "standing": VECTOR_BITS,
            "more": signed(VECTOR_BITS + 1),
            "last_lane": lane,
            "group": LANE_COUNT_BITS,
            "preload": 1,
            "single": 1,
            "preload_ends": 1,
            "base": SCRATCHPAD_ADDRESS_BITS,
            "pool_base": SCRATCHPAD_ADDRESS_BITS,
            "residual_base": SCRATCHPAD_ADDRESS_BITS,
            "stored": count_bits(arch) if count_bits(arch) > VECTOR_BITS else VECTOR_BITS,
            "last_inside": 2 * _FIELDS["tile"].width,
            "pitch": _FIELDS["tile"].width + arch.depthwise,
            "pooled_pitch_y": _FIELDS["tile"].width,
            "pooled_pitch_x": _FIELDS["tile"].width,
            "inside_first": inside_shape(arch),
            "inside_last": inside_shape(arch),
            "height": _FIELDS["out_height"].width,
            "width": _FIELDS["out_width"].width,
            "wraps": 1,
            "pooled_width": _FIELDS["out_width"].width + 1,
            "position": POSITION_BITS,
            "inside_y": inside_shape(arch),
            "inside_x": inside_shape(arch),
            "tile_y": PLACE["tile_y"].width,
            "tile_x": PLACE["tile_x"].width,
            "columns_left": COLUMNS_LEFT,
            "row_last": 1,
        }
    )


class EpilogueSetup(wiring.Component):
    """``work`` of the instruction in ``head``: right one cycle after its sizes are."""

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "head": In(head_layout(Unit.EPILOGUE)),
                "counts": In(table_counts(arch)),
                "work": Out(work_layout(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sizes = sizes = Sizes(Opcode.EPILOGUE, self._arch)
        fields, place, work = self.head.operands, self.head.place, self.work
        m.d.comb += [sizes.head.eq(fields), sizes.counts.eq(self.counts)]
        # The head stands still: what is a field of it needs no register.
        m.d.comb += [getattr(work, name).eq(getattr(fields, name)) for name in COPIED]
        m.d.comb += [
            work.windows.eq(fields.kind >= EpilogueKind.MAX),
            work.maximum.eq(fields.kind == EpilogueKind.MAX),
            work.split.eq(fields.kind == EpilogueKind.DIGITS),
            work.taps.eq(fields.kind == EpilogueKind.TAPS),
            work.store.eq((fields.kind == EpilogueKind.STORE) | work.windows),
            work.reduce.eq(fields.kind == EpilogueKind.REDUCE),
            work.raw.eq(fields.kind == EpilogueKind.REDUCE_RAW),
            work.threshold.eq(fields.kind == EpilogueKind.THRESHOLD),
            work.by_pixel.eq(fields.stationary == Stationary.PIXELS),
            work.single.eq(work.threshold & work.by_pixel),
            work.listed.eq(fields.filter_table != NO_TABLE),
            work.depthwise.eq((fields.kind == EpilogueKind.DEPTHWISE) & self._arch.depthwise),
            work.relu.eq(fields.relu & (~work.windows | work.depthwise)),
            work.reads.eq(fields.residual | (work.windows & ~work.taps)),
            work.adds.eq(fields.residual | (work.windows & ~work.taps & ~work.depthwise)),
            work.paired.eq(fields.pool | work.windows),
            work.height.eq(Mux(work.windows, fields.source_height, fields.out_height)),
            work.width.eq(Mux(work.windows, fields.source_width, fields.out_width)),
            work.pooled_width.eq(Mux(work.windows, fields.out_width << work.split, fields.grid_width)),
            work.tile_y.eq(place.tile_y),
            work.tile_x.eq(place.tile_x),
        ]
        self._counts(m, work, sizes)
        self._places(m, work, fields, place)
        self._addresses(m, work, fields, place)
        return m

    @staticmethod
    def _places(m: Module, work: Any, fields: Any, place: Any) -> None:
        """Where the walks begin and how they go on; of fields that stand still, in two cycles."""
        # Steps of two pixels of a depthwise convolution; windows that lie in no tile.
        twice, alone, depthwise = (Signal(name=name, reset_less=True) for name in ("twice", "alone", "kernel"))
        begin_y, begin_x = (
            Signal(len(place.inside_y) + 1, name=name, reset_less=True) for name in ("begin_y", "begin_x")
        )
        m.d.sync += [
            twice.eq(work.depthwise & fields.step[1]),
            alone.eq(work.windows & ~work.depthwise),
            depthwise.eq(work.depthwise),
            begin_y.eq(Mux(alone, 0, place.inside_y << twice)),
            begin_x.eq(Mux(alone, 0, place.inside_x << twice)),
            work.inside_first.eq(Mux(work.windows, -fields.inset, 0)),
            work.inside_y.eq(work.inside_first + begin_y),
            work.inside_x.eq(work.inside_first + begin_x),
            work.pitch.eq(Mux(alone, fields.step, fields.tile << twice)),
            work.pooled_pitch_y.eq(Mux(depthwise, fields.tile, 1)),
            work.pooled_pitch_x.eq(Mux(depthwise, fields.tile, 1 << work.split)),
            work.kernel_last.eq(Mux(depthwise, fields.window - 1, 0)),
            work.skipped.eq(twice),
            work.first_row.eq(Mux(depthwise, place.inside_y, 0)),
            work.first_result.eq(Mux(depthwise, place.inside_x, 0)),
            work.last_result.eq(fields.tile - 1),
            work.before_last.eq(fields.tile - 2),
        ]

    def _counts(self, m: Module, work: Any, sizes: Any) -> None:
        """What follows from the sizes, in one cycle."""
        columns = self._arch.columns
        standing, filled = Signal(VECTOR_BITS), Signal()
        # Of the head, which stands still.
        by_pixel, preloads, single = (Signal(name=name, reset_less=True) for name in ("by_pixel", "preloads", "single"))
        m.d.sync += [
            by_pixel.eq(work.by_pixel),
            preloads.eq((~work.windows | work.taps | work.depthwise) & (~work.by_pixel | work.threshold)),
            single.eq(work.single),
        ]
        m.d.comb += [
            standing.eq(Mux(by_pixel, sizes.pixels, sizes.filters)),
            filled.eq(standing >= columns),
        ]
        m.d.sync += [
            work.empty.eq(sizes.empty),
            work.pixels.eq(sizes.pixels),
            work.filters.eq(sizes.filters),
            work.stored.eq(sizes.stored),
            work.standing.eq(standing),
            work.more.eq(standing - columns),
            work.last_lane.eq(Mux(filled, columns - 1, standing - 1)),
            work.group.eq(Mux(by_pixel, TRANSPOSED_FILTERS, columns)),
            work.preload.eq(~sizes.empty & preloads),
            work.preload_ends.eq(~work.depthwise & (single | (standing == 1))),
        ]

    def _addresses(self, m: Module, work: Any, fields: Any, place: Any) -> None:
        """Sums and products of fields. They stand still longer than this takes."""
        # A product of few bits is two sums, each in a register.
        half = len(fields.tile) // 2
        edge, more_edge = (Signal(COLUMNS_LEFT, name=name, reset_less=True) for name in ("edge", "more_edge"))
        first = Signal(SCRATCHPAD_ADDRESS_BITS)
        size, area = Signal(len(fields.tile), reset_less=True), Signal(2 * len(fields.tile), reset_less=True)
        m.d.comb += first.eq(Mux(work.threshold, 0, Mux(work.raw, fields.first_filter << 2, fields.first_filter)))
        m.d.sync += [
            work.base.eq(Mux(work.windows, fields.source, fields.destination) + first),
            work.pool_base.eq(Mux(work.windows, fields.destination, fields.pool_address) + fields.first_filter),
            work.residual_base.eq(fields.source + fields.first_filter),
            size.eq(Mux(work.windows, fields.window, fields.tile)),
            area.eq(Mux(work.depthwise, fields.window, size * size)),
            work.last_inside.eq(area - 1),
            work.inside_last.eq(work.inside_first + size - 1),
            work.wraps.eq(work.store & (fields.wrap_row != 0)),
            work.position.eq(fields.first_tile + place.tile),
            edge.eq(small_product(place.tile_x, fields.tile[:half])),
            more_edge.eq(small_product(place.tile_x, fields.tile[half:]) << half),
            work.columns_left.eq(fields.out_width - edge - more_edge),
            work.row_last.eq(work.columns_left <= fields.tile),
        ]
