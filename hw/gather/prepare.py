"""What GATHER works out about the instruction at its queue's head, before it starts."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import NO_TABLE, Opcode, Unit
from gatewright.hw.control.sizes import Sizes
from gatewright.hw.layouts import head_layout, operand_layout
from gatewright.hw.lib.rotation import small_product
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS, count_bits, table_counts

OPERANDS = operand_layout(Opcode.GATHER)

INPUT_BITS = 10
"""Signed: from -15 (padding) to 511, a place inside the map, or before it, from where a walk can enter it."""


def channel_bits(arch: ArchConfig) -> int:
    """Bits of the channels of a pixel: a field, or a table's count."""
    return max(OPERANDS["channels"].width, count_bits(arch))


def run_bits(arch: ArchConfig) -> int:
    """Bits of the bytes of a kernel row: kernel_width * channels."""
    return OPERANDS["kernel_width"].width + channel_bits(arch)


def gather_sizes(arch: ArchConfig) -> data.StructLayout:
    """An instruction with everything about it that does not change while it runs.

    ``pitch``, ``pixel_step``, ``line_step``, ``tile_step``, ``tile_row_step``: bytes, modulo the address space, from
    a place in the input map to the next row, and to the places that the next output pixel, the next row of output
    pixels, the next tile and the next row of tiles have. ``tile_input``: pixels of input per tile.
    ``row_origin``: ``source`` - ``padding_x`` * ``channels``. ``rest_x``: output columns from the first tile on.
    ``triple``: 3 * ``channels``. ``nothing``: no work.
    """
    return data.StructLayout(
        {
            "operands": OPERANDS,
            "tiles": OPERANDS["tile_count"].width,
            "nothing": 1,
            "use_table": 1,
            "channels": channel_bits(arch),
            "triple": channel_bits(arch) + 2,
            "run": run_bits(arch),
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

    What it says is right ``LATENCY`` cycles after its inputs stand still; ``channels`` and ``tile_input`` after 1,
    ``pitch`` after 2 cycles (``Sizes`` gives the channels after 1).
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
        channels = effective.channels

        def register(name: str, value: Value) -> Signal:
            stage = Signal(gather_sizes(self._arch)[name].width, name=name, reset_less=True)
            m.d.sync += stage.eq(value)
            m.d.comb += sizes[name].eq(stage)
            return stage

        tile_input = register("tile_input", small_product(operands.tile, operands.stride))
        before = Signal(operands.tile.shape().width + len(self.head.place.tile_x), reset_less=True)
        m.d.sync += before.eq(small_product(self.head.place.tile_x, operands.tile))
        pitch = register("pitch", operands.width * channels)
        register("pixel_step", small_product(channels, operands.stride))
        register("run", small_product(channels, operands.kernel_width))
        register("triple", channels + (channels << 1))
        register("tile_step", tile_input * channels)
        register("rest_x", operands.out_width - before)
        left = Signal(len(channels) + len(operands.padding_x), reset_less=True)
        m.d.sync += left.eq(small_product(channels, operands.padding_x))
        register("row_origin", operands.source - left)
        register("line_step", small_product(pitch, operands.stride))
        register("tile_row_step", tile_input * pitch)
        m.d.comb += [
            effective.head.eq(operands),
            effective.counts.eq(self.counts),
            sizes.operands.eq(operands),
            sizes.channels.eq(channels),
            sizes.tiles.eq(effective.tiles),
            sizes.use_table.eq(operands.tile_table != NO_TABLE),
            sizes.nothing.eq(effective.empty),
        ]
        return m
