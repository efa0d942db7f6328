"""The image on its way into the scratchpad: whole, in the order of its rows, or row by row into a ring."""

from __future__ import annotations

from collections.abc import Callable

from gatewright.compiler.emit.access import PORT_B, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.plan.row_rings import ring_rows
from gatewright.compiler.plan.spills import DramRows
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import Opcode, Space

_PIECES = 4
"""LOADs that bring an image that fits: the first rows are used while the others arrive."""


class ImageLoader:
    """Emits the LOADs of the network's input."""

    def __init__(self, context: Context) -> None:
        self.context = context
        image = context.image
        self.address, self.region = image.addresses[context.graph.input], image.input_region
        self.beats, self.height = image.input_beats, image.input_layout.height
        self.pitch = image.input_pitch
        self.ring = ring_rows(image, context.graph.input, self.pitch)
        """Rows that are kept, if not all are."""
        self._loaded = 0

    def whole(self, between: Callable[[], None]) -> None:
        """All of it; the function ``between`` is called behind the first piece."""
        step = -(-self.beats // _PIECES)
        for first in range(0, self.beats, step):
            self._load(first, self.address + first * BEAT_BYTES, min(step, self.beats - first))
            if first == 0:
                between()

    def rows(self, end: int) -> None:
        """Of an image in a ring, the rows before ``end`` that are not there yet."""
        assert self.ring is not None
        rows = DramRows(self.region.address, self.region.size, self.pitch, self.ring, self.address)
        end = rows.whole_units(min(end, self.height))
        for byte, address, beats in rows.transfers(self._loaded, end):
            self._load((byte - rows.dram) // BEAT_BYTES, address, beats)
        self._loaded = max(self._loaded, end)

    def _load(self, first: int, address: int, beats: int) -> None:
        """``beats`` beats of the image from beat ``first`` on to a scratchpad address."""
        self.context.out.emit(
            Opcode.LOAD,
            [writes("scratchpad", address, address + beats * BEAT_BYTES), PORT_B],
            dram_address=self.region.address + first * BEAT_BYTES,
            space=Space.SCRATCHPAD,
            address=address,
            rows=1,
            row_beats=beats,
            ring=1,
        )
