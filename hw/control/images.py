"""Which image of a start is under way, and where its input and its outputs lie in their rings."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

IMAGE_BITS = 16
RING_MEMBERS = {"offset": Out(32), "stride": Out(32), "slots": Out(IMAGE_BITS)}
"""A ring as the host describes it: see ``contract.images.Ring``."""


def ring_signature() -> wiring.Signature:
    """A ring's registers, which stand still from the cycle before the start on."""
    return wiring.Signature(RING_MEMBERS)


class Images(wiring.Component):
    """Counts a start's images. ``over``: one has ended; ``last``: there is none behind the one under way.

    ``input_place`` and ``output_place`` are added to the addresses of the rings; they are right from the second cycle
    behind ``start`` or ``over`` on. ``number``: images that have ended.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "over": In(1),
                "images": In(IMAGE_BITS),
                "input_ring": In(ring_signature()),
                "output_ring": In(ring_signature()),
                "input_place": Out(32),
                "output_place": Out(32),
                "number": Out(IMAGE_BITS),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        next_number = Signal(IMAGE_BITS)
        m.d.comb += next_number.eq(self.number + 1)
        m.d.sync += self.last.eq(next_number >= self.images)
        with m.If(self.start):
            m.d.sync += self.number.eq(0)
        with m.Elif(self.over):
            m.d.sync += self.number.eq(next_number)
        self._count(m, self.input_ring, self.input_place, "input")
        self._count(m, self.output_ring, self.output_place, "output")
        return m

    def _count(self, m: Module, ring: Any, place: Any, name: str) -> None:
        """Moves on by a slot, or back to the first one, where ``place`` is the ring's offset."""
        slot, again, further = Signal(IMAGE_BITS, name=f"{name}_slot"), Signal(name=f"{name}_again"), Signal(32)
        # Both a cycle late: an image takes more.
        m.d.sync += [again.eq((slot + 1) == ring.slots), further.eq(place + ring.stride)]
        with m.If(self.start | (self.over & again)):
            m.d.sync += [slot.eq(0), place.eq(ring.offset)]
        with m.Elif(self.over):
            m.d.sync += [slot.eq(slot + 1), place.eq(further)]
