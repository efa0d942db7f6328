"""Latencies of the units, as data: the only numbers of this kind in the project.

The rules that use them are in ``docs/architecture.md``; the simulator and the RTL read them here.
All are in clock cycles.
"""

from __future__ import annotations

FETCH_LATENCY = 2
"""From a page's arrival to its first dispatch, and from NEXT to the dispatch after it."""

GATHER_LATENCY = 8
"""Table, address, two scratchpad stages, rotate, mask, two patch-buffer stages."""

ACCUMULATOR_LATENCY = 4
"""Read, add, write of one accumulator entry: the least distance of two updates of an entry."""

ARRAY_OVERHEAD = 4
"""Added to rows + columns: operand read, input register, and the accumulator's write."""

EPILOGUE_LATENCY = 13
"""From the last accumulator read to the last scratchpad write. Odd, so that a residual read and a
write never meet on the scratchpad's port."""

INDEX_LATENCY = 3
"""From the last mask word to the table's count."""

LOAD_LATENCY = 4
"""From the last beat on the bus to the last byte in its buffer, and the address's way out."""

STORE_LATENCY = 4
"""From an instruction's start to its first beat on the bus, and the response's way back."""


def array_latency(rows: int, columns: int) -> int:
    """From the end of a stream to its last accumulator write: rows down, columns across."""
    return rows + columns + ARRAY_OVERHEAD
