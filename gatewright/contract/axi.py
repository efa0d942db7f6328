"""AXI as the machine uses it: 4 KiB, responses, burst codes."""

from __future__ import annotations

from gatewright.contract.arch import BEAT_BYTES

ADDRESS_BITS = 32
"""Bits of a byte address in DRAM, on the bus and in registers."""

BURST_BOUNDARY = 4096
"""No burst crosses an address that is a multiple of this; at 16 bytes a beat, 256 beats, so none is too long either."""

BURST_BEATS = BURST_BOUNDARY // BEAT_BYTES
"""Beats between two boundaries."""


def burst_beats(address: int, beats: int) -> int:
    """Beats of the burst that begins at a byte address, where ``beats`` are still to be moved."""
    return min(beats, (BURST_BOUNDARY - address % BURST_BOUNDARY) // BEAT_BYTES)


OKAY = 0
"""The only response that is not an error here."""

SLAVE_ERROR = 2

DECODE_ERROR = 3
"""What a memory answers for an address that it does not have."""

BURST_SIZE = (BEAT_BYTES - 1).bit_length()
"""AxSIZE of a beat of BEAT_BYTES."""

INCREMENTING = 1
"""AxBURST of rising addresses."""
