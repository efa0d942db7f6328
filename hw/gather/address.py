"""GATHER's scratchpad addresses: sums of steps, no product in the loop."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.hw.gather.prepare import gather_sizes
from gatewright.hw.gather.tile_place import ROW_SHAPE
from gatewright.hw.gather.walk import ADVANCE
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS


class GatherAddress(wiring.Component):
    """The byte address of every piece, in stage 0.

    For each loop a register holds where its next item begins. Where a loop goes on, its register becomes the address,
    and the registers of the loops inside it follow from there. In the cycle of ``valid`` the walk is at a piece, whose
    address is ``address`` from the next cycle on. The registers of the loops do not know of the ring: from
    input row ``wrap_row`` on, the address alone is ``wrap_bytes`` lower; ``y`` is the piece's. ``placed`` and
    ``placed_row`` are what the tile placer says; they are used for an instruction's first piece, and where ``advance``
    says so. ``final``: the walk ends.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "valid": In(1),
                "final": In(1),
                "advance": In(ADVANCE),
                "running": In(gather_sizes(arch)),
                "y": In(ROW_SHAPE),
                "placed": In(SCRATCHPAD_ADDRESS_BITS),
                "placed_row": In(SCRATCHPAD_ADDRESS_BITS),
                "address": Out(SCRATCHPAD_ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        running = self.running
        # How the piece that comes now follows the one before it; an instruction's first is placed.
        how = Signal(ADVANCE, init={"placed": 1})
        with m.If(self.final):
            m.d.sync += how.eq(ADVANCE.const({"placed": 1}))
        with m.Elif(self.valid):
            m.d.sync += how.eq(self.advance)
        names = ("piece", "column", "row", "pixel", "line", "tile", "tile_row")
        following = {name: Signal(SCRATCHPAD_ADDRESS_BITS, name=f"next_{name}", reset_less=True) for name in names}
        now = Signal(SCRATCHPAD_ADDRESS_BITS)
        gated = self.placed & how.placed.replicate(SCRATCHPAD_ADDRESS_BITS)
        for name in names[1:]:
            gated |= following[name] & how[name].replicate(SCRATCHPAD_ADDRESS_BITS)
        goes_on = ~how.as_value().any()
        m.d.comb += now.eq(gated | (following["piece"] & goes_on.replicate(SCRATCHPAD_ADDRESS_BITS)))
        address = Signal(SCRATCHPAD_ADDRESS_BITS, reset_less=True)
        operands = running.operands
        # The ring is behind the register: a row is compared while its address is chosen.
        wraps = Signal(reset_less=True)
        m.d.comb += self.address.eq(address - (operands.wrap_bytes & wraps.replicate(SCRATCHPAD_ADDRESS_BITS)))
        inner = how.tile | how.tile_row | how.placed
        with m.If(self.valid):
            m.d.sync += [
                address.eq(now),
                wraps.eq((operands.wrap_row != 0) & (self.y >= operands.wrap_row)),
            ]
            m.d.sync += [following["piece"].eq(now + self._arch.gather_bytes)]
            with m.If(~goes_on):
                m.d.sync += following["column"].eq(now + running.column_step)
            with m.If(~goes_on & ~how.column):
                m.d.sync += following["row"].eq(now + Mux(how.row, running.kernel_pitch, running.first_pitch))
            with m.If(how.pixel | how.line | inner):
                m.d.sync += following["pixel"].eq(now + running.pixel_step)
            with m.If(how.line | inner):
                m.d.sync += following["line"].eq(now + running.line_step)
            with m.If(inner):
                m.d.sync += following["tile"].eq(now + running.tile_step)
            with m.If(how.placed):
                m.d.sync += following["tile_row"].eq(self.placed_row)
            with m.Elif(how.tile_row):
                m.d.sync += following["tile_row"].eq(following["tile_row"] + running.tile_row_step)
        return m
