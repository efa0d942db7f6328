"""Memory that a host shares with a machine off the board: buffers as ``pynq.allocate`` gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import DriverError
from .registers import ALIGNMENT


class Buffer(np.ndarray):
    """Bytes, uint8 [size], at an address that the machine knows; with the methods of pynq's buffers."""

    device_address: int = 0
    _free: Callable[[int], None] | None = None

    def flush(self) -> None:
        """What the host has written is there for the machine: without a cache in between it is."""

    invalidate = flush

    def freebuffer(self) -> None:
        """Give the bytes back; the buffer must not be used any more."""
        free, self._free = self._free, None
        if free is not None:
            free(self.device_address)


class Memory:
    """Hands out pieces of ``data``, uint8 [size], whose first byte the machine finds at ``base``."""

    def __init__(self, data: Any, base: int) -> None:
        self.data, self._base = data, base
        self._pieces: dict[int, int] = {}

    @property
    def in_use(self) -> int:
        """Bytes of buffers that have not been freed."""
        return sum(self._pieces.values())

    def behind(self, address: int) -> Any:
        """From an address to the end of the piece that it lies in, uint8; what lies behind is no memory."""
        at = address - self._base
        ends = [first + size for first, size in self._pieces.items() if first <= at < first + size]
        return self.data[at : ends[0]] if ends else self.data[:0]

    def allocate(self, size: int) -> Buffer:
        """The first piece that is free and large enough, at a multiple of ALIGNMENT."""
        at = 0
        for first in sorted(self._pieces):
            if first - at >= size:
                break
            at = -(-(first + self._pieces[first]) // ALIGNMENT) * ALIGNMENT
        if at + size > len(self.data):
            raise DriverError(
                f"no room for {size:,} bytes in a memory of {len(self.data):,}, of which {self.in_use:,} are in use; "
                "free buffers (close drivers), take fewer slots, or make the memory larger"
            )
        self._pieces[at] = size
        buffer: Buffer = self.data[at : at + size].view(Buffer)
        buffer.device_address = self._base + at
        buffer._free = self._give_back
        return buffer

    def _give_back(self, address: int) -> None:
        del self._pieces[address - self._base]
