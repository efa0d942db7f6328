"""What GATHER works out about the instruction at its queue's head, before it starts."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import NO_TABLE, Opcode, Unit
from gatewright.hw.control.sizes import Sizes
from gatewright.hw.layouts import head_layout, operand_layout
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.divide import small_quotient
from gatewright.hw.lib.rotation import small_product
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS, count_bits, table_counts

OPERANDS = operand_layout(Opcode.GATHER)

INPUT_BITS = OPERANDS["height"].width + 1
"""Signed: a place inside the map, or before it (padding), from where a walk can enter it."""
assert OPERANDS["width"].width < INPUT_BITS
assert max(OPERANDS["padding_y"].width, OPERANDS["padding_x"].width) < INPUT_BITS


def channel_bits(arch: ArchConfig) -> int:
    """Bits of the channels of a pixel: a field, or a table's count."""
    return max(OPERANDS["channels"].width, count_bits(arch))


def run_bits(arch: ArchConfig) -> int:
    """Bits of the bytes of a run: kernel_width * channels at most."""
    return OPERANDS["kernel_width"].width + channel_bits(arch)


def behind_shape(arch: ArchConfig) -> Shape:
    """Shape of the bytes of the slices that lie behind a run; where they end in it, less than 0."""
    return signed(max(run_bits(arch), bits_for((1 << OPERANDS["slice_count"].width) * arch.rows)) + 1)


def gather_sizes(arch: ArchConfig) -> data.StructLayout:
    """An instruction with everything about it that does not change while it runs.

    ``pitch``, ``kernel_pitch``, ``column_step``, ``pixel_step``, ``line_step``, ``tile_step``, ``tile_row_step``:
    bytes, modulo the address space, from a place in the input map to the next row, to the next row and column of the
    kernel, and to the places that the next output pixel, the next row of output pixels, the next tile and the next row
    of tiles have. ``tile_input``: pixels of input per tile. ``row_origin``: ``source`` less the bytes of ``padding_x``
    pixels. ``rest_x``: output columns from the first tile on. ``triple``: 3 * ``channels``. ``nothing``: no work.
    ``dilation``: 1 at least. ``inside_row``: the slices begin inside a kernel row whose pixels do not lie side by side,
    which is illegal.

    Of every vector the bytes of the slices are formed. A kernel row is ``columns`` runs, each of ``run`` bytes of
    ``run_columns`` pixels: one of all, or a run of each if they do not lie side by side. The bytes begin at byte
    ``first_begin`` of kernel row ``first_row``, in its first run, with ``first_rest`` bytes in that and
    ``behind_first`` in the others (0 or less: none); ``kernel_rows`` kernel rows are left from there on.
    ``first_pitch``: address step from the first byte to the next kernel row.
    """
    return data.StructLayout(
        {
            "operands": OPERANDS,
            "tiles": OPERANDS["tile_count"].width,
            "nothing": 1,
            "inside_row": 1,
            "use_table": 1,
            "channels": channel_bits(arch),
            "triple": channel_bits(arch) + 2,
            "run": run_bits(arch),
            "run_columns": OPERANDS["kernel_width"].width,
            "columns": OPERANDS["kernel_width"].width,
            "dilation": OPERANDS["dilation"].width,
            "kernel_pitch": SCRATCHPAD_ADDRESS_BITS,
            "column_step": SCRATCHPAD_ADDRESS_BITS,
            "first_row": OPERANDS["kernel_height"].width,
            "kernel_rows": OPERANDS["kernel_height"].width,
            "first_begin": run_bits(arch),
            "first_rest": run_bits(arch),
            "behind_first": behind_shape(arch),
            "first_pitch": SCRATCHPAD_ADDRESS_BITS,
            "pitch": SCRATCHPAD_ADDRESS_BITS,
            "pixel_step": SCRATCHPAD_ADDRESS_BITS,
            "line_step": SCRATCHPAD_ADDRESS_BITS,
            "tile_step": SCRATCHPAD_ADDRESS_BITS,
            "tile_row_step": SCRATCHPAD_ADDRESS_BITS,
            "tile_input": OPERANDS["tile"].width + OPERANDS["stride"].width,
            "row_origin": SCRATCHPAD_ADDRESS_BITS,
            "rest_x": OPERANDS["out_width"].width + 1,
        }
    )


class GatherPrepare(wiring.Component):
    """A pipeline from the head and the tables' counts to ``sizes``, fed in every cycle.

    What it says is right ``LATENCY`` cycles after its inputs stand still; ``channels``, ``dilation`` and
    ``tile_input`` after 1, ``pitch`` and ``tile_step`` after 2 cycles (``Sizes`` gives the channels after 1),
    ``first_row``, ``first_begin``, ``kernel_pitch``, ``line_step`` and ``tile_row_step`` after 4.
    """

    LATENCY = 5

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "head": In(head_layout(Unit.GATHER)),
                "counts": In(table_counts(arch)),
                "sizes": Out(gather_sizes(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        assert Sizes.LATENCY <= self.LATENCY
        operands, sizes = self.head.operands, self.sizes
        m.submodules.counts = effective = Sizes(Opcode.GATHER, self._arch)
        channels, pixel = effective.channels, effective.pixel

        def register(name: str, value: Value) -> Signal:
            stage = Signal(gather_sizes(self._arch)[name].width, name=name, reset_less=True)
            m.d.sync += stage.eq(value)
            m.d.comb += sizes[name].eq(stage)
            return stage

        tile_input = register("tile_input", small_product(operands.tile, operands.stride))
        before = Signal(operands.tile.shape().width + len(self.head.place.tile_x), reset_less=True)
        m.d.sync += before.eq(small_product(self.head.place.tile_x, operands.tile))
        pitch = register("pitch", operands.width * pixel)
        register("pixel_step", small_product(pixel, operands.stride))
        apart = operands.pixel_channels.any() | (operands.dilation > 1)
        dilation = register("dilation", operands.dilation | ~operands.dilation.any())
        run_columns = register("run_columns", Mux(apart, 1, operands.kernel_width))
        several = register("columns", Mux(apart, operands.kernel_width, 1))
        register("column_step", self._four_copies(m, pixel, dilation, "column_step"))
        register("run", self._four_copies(m, channels, run_columns, "run"))
        # Of whole kernel rows, whatever their runs: what divides the bytes before the first.
        row_bytes = Signal(run_bits(self._arch), reset_less=True)
        m.d.sync += row_bytes.eq(self._four_copies(m, channels, operands.kernel_width, "row_bytes"))
        register("triple", channels + (channels << 1))
        register("tile_step", tile_input * pixel)
        register("rest_x", operands.out_width - before)
        # A product of few bits is two sums, each in a register.
        half = len(operands.padding_x) // 2
        left = Signal(len(pixel) + len(operands.padding_x), reset_less=True)
        more_left = Signal.like(left, reset_less=True)
        m.d.sync += [
            left.eq(small_product(pixel, operands.padding_x[:half])),
            more_left.eq(small_product(pixel, operands.padding_x[half:]) << half),
        ]
        register("row_origin", operands.source - left - more_left)
        # Registers behind a multiplier: one for a sum, and one, which a reset keeps apart, between two multipliers.
        beside = delayed(m, pitch, 1, "pitch_beside")
        register("line_step", small_product(beside, operands.stride))
        kernel_pitch = register("kernel_pitch", self._four_copies(m, beside, dilation, "kernel_pitch"))
        register("tile_row_step", tile_input * delayed(m, pitch, 1, "pitch_late", early=True))
        m.d.comb += [
            effective.head.eq(operands),
            effective.counts.eq(self.counts),
            sizes.operands.eq(operands),
            sizes.channels.eq(channels),
            sizes.tiles.eq(effective.tiles),
            sizes.use_table.eq(operands.tile_table != NO_TABLE),
            sizes.nothing.eq(effective.empty | self._slices(m, row_bytes, kernel_pitch)),
        ]
        register("inside_row", sizes.first_begin.any() & (several > 1))
        return m

    @staticmethod
    def _four_copies(m: Module, value: Value, factor: Value, name: str) -> Value:
        """A product with a factor of four bits, as two sums side by side.

        Left to itself Yosys adds the fourth copy behind the sum of three.
        """
        upper = Signal(len(value) + 2, name=f"{name}_upper", attrs={"keep": 1})
        m.d.comb += upper.eq(small_product(value, factor[2:]))
        return small_product(value, factor[:2]) + (upper << 2)

    def _slices(self, m: Module, row_bytes: Signal, kernel_pitch: Signal) -> Signal:
        """Where the slices begin and end; gives, LATENCY cycles later, whether they have no bytes.

        With ``row_bytes`` after 2 cycles, the kernel row of the first byte is there after 4. Where a kernel row is
        several runs the first byte is that of a kernel row.
        """
        operands, sizes = self.head.operands, self.sizes
        rows, most = Const(self._arch.rows), self._arch.rows << len(operands.first_slice)
        assert len(operands.first_slice) == len(operands.slice_count)
        first, count = (Signal(range(most), name=name, reset_less=True) for name in ("first_byte", "slice_bytes"))
        m.d.sync += [
            first.eq(small_product(operands.first_slice, rows)),
            count.eq(small_product(operands.slice_count, rows)),
        ]
        # A kernel row that there is not: its number is the kernel's height at least.
        first_row, begin = small_quotient(m, first, row_bytes, "first_row")
        behind, more = Signal(behind_shape(self._arch)), Signal(behind_shape(self._arch), reset_less=True)
        nothing = Signal(name="no_bytes", reset_less=True)
        kernel_rows, first_rest, behind_first, first_pitch = (
            Signal(gather_sizes(self._arch)[name].shape, name=name, reset_less=True)
            for name in ("kernel_rows", "first_rest", "behind_first", "first_pitch")
        )
        m.d.comb += behind.eq(more + begin)
        m.d.sync += [
            more.eq(count - sizes.run),
            nothing.eq((first_row >= operands.kernel_height) | (operands.slice_count == 0)),
            kernel_rows.eq(operands.kernel_height - first_row),
            first_rest.eq(Mux(behind[-1], count, sizes.run - begin)),
            behind_first.eq(behind),
            first_pitch.eq(kernel_pitch - begin),
        ]
        m.d.comb += [
            sizes.first_row.eq(first_row),
            sizes.first_begin.eq(begin),
            sizes.kernel_rows.eq(kernel_rows),
            sizes.first_rest.eq(first_rest),
            sizes.behind_first.eq(behind_first),
            sizes.first_pitch.eq(first_pitch),
        ]
        return nothing
