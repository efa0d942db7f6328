"""Latencies of the units that the rules of the machine name, as data.

The rules that use them are in ``docs/architecture.md``; the simulators and the RTL read them here. Latencies of
a single port or register stage that no rule names stand beside the signature they belong to, in
``hw/signatures.py``.
All are in clock cycles.
"""

from __future__ import annotations

FETCH_LATENCY = 12
"""From a page's arrival to its first dispatch, and from NEXT to the dispatch after it: the instruction
memory's two stages, then the predecoder, which divides where an instruction begins in its map."""

DECODE_LATENCY = 6
"""From the cycle in which an instruction comes to the head of its unit's queue to its earliest start: its
sizes are worked out from the tables' counts. They may be read in any of these cycles, so a table
is final DECODE_LATENCY cycles before the instruction that writes it counts as complete."""

CONTROL_LATENCY = 3
"""From the turn of a NEXT, EXIT, SKIP or END to the earliest cycle in which it runs: its waits are compared, as the
others' are while they are at the head of a queue, and the count that decides comes out of its register."""

LEFT_OUT_LATENCY = 5
"""From the turn in which a SKIP leaves an instruction out to its completion, as waits see it: a register, the count,
and the comparison, which sees completions in units earlier."""

END_LATENCY = 1
"""From the cycle in which END or an EXIT decides that the image ends to its end, and a SKIP that it leaves out what
follows to the cycle in which it does, if the units that it waits for are idle by then."""

GATHER_LATENCY = 8
"""Counters, address, two scratchpad stages, rotate, mask, rotate, patch-buffer write."""

TILE_CYCLES = 8
"""Least cycles that GATHER spends on a tile from a table: meanwhile the next tile's address is multiplied out."""

ACCUMULATOR_LATENCY = 4
"""Read, add, write of one accumulator entry: the least distance of two updates of an entry."""

EMPTY_LATENCY = 3
"""From the start of a MATMUL without work to its completion: its place in the order, and a register."""

ARRAY_OVERHEAD = 6
"""Added to rows + columns: operand read (two stages), input register, product, and the accumulator's write."""

EPILOGUE_LATENCY = 15
"""From the last accumulator read to the last scratchpad write. Odd, so that a residual read and a
write never meet on the scratchpad's port."""

EPILOGUE_OVERLAP = 8
"""Cycles before an EPILOGUE's completion from which the next one may start: its last slot then takes its address from
a queue, and what is behind that needs five bits of the instruction. What the next one reads early it reads behind the
run of the one before, and with EPILOGUE_SETUP its own run comes behind the completion."""

EPILOGUE_SETUP = 10
"""Least cycles from an EPILOGUE's start to its run: the first pixel's address is multiplied out."""

DEPTHWISE_LEAD = 6
"""From the run of a DEPTHWISE to its first slot: its pixels are needed as much earlier in the pipeline."""

INDEX_LATENCY = 6 + DECODE_LATENCY
"""From the last mask word to the table's count, and the cycles in which the count must stand still."""

LOAD_ISSUE = 5
"""From a LOAD's start to its first address: row table, row times stride, sum."""

LOAD_LATENCY = 2 + DECODE_LATENCY
"""From the cycle after the last beat on the bus: its write, and the cycles in which a table must stand still."""

STORE_LATENCY = 8
"""From an instruction's start to its first beat on the bus, and the response's way back."""

STORE_BUS_START = STORE_LATENCY - 3
"""From a write's address on the bus, the cycle after its STORE's start, to the slot of its first beat."""

STORE_ANSWER = STORE_LATENCY - STORE_BUS_START - 1
"""From a write's answer to the completion of its STORE: the response's way back."""


def array_latency(rows: int, columns: int) -> int:
    """From the end of a stream to its last accumulator write: rows down, columns across."""
    return rows + columns + ARRAY_OVERHEAD


def array_order_depth(rows: int, columns: int) -> int:
    """MATMULs that may be taken and not yet complete: they complete in their order, and each has a place in it.

    With work, one more is taken while one streams, and those in the pipeline were taken DECODE_LATENCY + 1 cycles
    apart: for these there is always a place. Those without work are taken while another streams, and wait for one.
    """
    return 4 + -(-(rows + columns + ARRAY_OVERHEAD) // (DECODE_LATENCY + 1))
