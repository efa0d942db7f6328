"""Zeros into the scratchpad: behind the active channels of a map that is read as if all of them were there."""

from __future__ import annotations

from gatewright.compiler.emit.access import PORT_B, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.plan.by_taps import ZERO_BEATS
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import NO_TABLE, Opcode, Space

ROWS = 8
"""Rows of zeros that a LOAD brings at most: the epilogue waits for so long."""


def clear(context: Context, address: int, size: int) -> None:
    """Clear ``size`` bytes, and what is left of the last beat, by one row of zeros that is read again and again."""
    zeros = context.image.zeros
    assert zeros is not None
    beats, done = -(-size // BEAT_BYTES), 0
    while done < beats:
        row = min(ZERO_BEATS, beats - done)
        rows = min(ROWS, (beats - done) // row)
        low = address + done * BEAT_BYTES
        context.out.emit(
            Opcode.LOAD,
            [writes("scratchpad", low, low + rows * row * BEAT_BYTES), PORT_B],
            space=Space.SCRATCHPAD,
            dram_address=zeros.address,
            address=low,
            rows=rows,
            row_beats=row,
            row_table=NO_TABLE,
        )
        done += rows * row
