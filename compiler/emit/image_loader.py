"""The image on its way into the scratchpad: whole, in the order of its rows, or row by row into a ring."""

from __future__ import annotations

from collections.abc import Callable

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.emit import PORT_B, writes
from gatewright.compiler.plan.stem import rows_in_beats
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
        self.unit = rows_in_beats(self.pitch)
        self.ring = image.ring_rows(context.graph.input, self.pitch)
        """Rows that are kept, if not all are: a multiple of ``unit``."""
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
        end = min(-(-end // self.unit) * self.unit, -(-self.height // self.unit) * self.unit)
        while self._loaded < end:
            turn = self._loaded // self.ring
            upto = min(end, (turn + 1) * self.ring)
            first = self._loaded * self.pitch // BEAT_BYTES
            beats = min(upto * self.pitch // BEAT_BYTES, self.beats) - first
            self._load(first, self.address + first * BEAT_BYTES - turn * self.ring * self.pitch, beats)
            self._loaded = upto

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
        )
