"""Which memory locations and ports an executed instruction uses: what the audit asks each opcode for.

Every location of every memory has one number. Scratchpad, DRAM and masks are counted in words of 16
bytes (masks: 16 bits), the operand buffers in words, accumulators, parameters and instructions in
entries, tables whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ACCUMULATOR_BANKS, BEAT_BYTES, MASK_BITS, MASKS
from gatewright.contract.encodings import MASK_WORD_BITS
from gatewright.contract.isa import NO_TABLE
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.state import Geometry, State

READ, WRITE, EARLY_READ = 1, 2, 4
"""How a location is used; an early read may happen from ``start`` - DECODE_LATENCY on, before the waits."""

PORT_B, TABLE_WRITE, FIRST_BANK = 1, 2, 4
"""What has users but no arbiter, as bits: scratchpad port B, the tables' write port, accumulator bank n << n."""


class Places(NamedTuple):
    """The number of the first location of each memory, and of all locations."""

    scratchpad: int
    patch: int
    weight: int
    accumulator: int
    parameter: int
    table: int
    mask: int
    instruction: int
    dram: int
    total: int


class Touched(NamedTuple):
    """Locations touched by one instruction: ``use`` of every location, and a list of those with any; and ports."""

    use: npt.NDArray[np.uint8]
    listed: npt.NDArray[np.int64]
    listed_count: npt.NDArray[np.int64]
    ports: npt.NDArray[np.int64]
    """[1] PORT_B, TABLE_WRITE, FIRST_BANK << bank"""


def places(geometry: Geometry, state: State) -> Places:
    """Number all locations of the machine's memories."""
    sizes = (
        len(state.scratchpad) // BEAT_BYTES,
        geometry.patch_words,
        geometry.weight_words,
        ACCUMULATOR_BANKS * geometry.accumulator_depth,
        geometry.parameter_entries,
        geometry.tables,
        MASKS * MASK_BITS // MASK_WORD_BITS,
        geometry.instruction_entries,
        -(-len(state.dram) // BEAT_BYTES),
    )
    firsts = [sum(sizes[:memory]) for memory in range(len(sizes) + 1)]
    return Places(*firsts)


def nothing_touched(at: Places) -> Touched:
    """An empty record for all locations."""
    counts = np.zeros(1, np.int64), np.zeros(1, np.int64)
    return Touched(np.zeros(at.total, np.uint8), np.zeros(at.total, np.int64), *counts)


@kernel
def clear(touched: Touched) -> None:
    """Forget the last instruction."""
    for number in range(touched.listed_count[0]):
        touched.use[touched.listed[number]] = 0
    touched.listed_count[0] = 0
    touched.ports[0] = 0


@kernel
def touch(touched: Touched, location: int, use: int) -> None:
    """Touch one location."""
    if touched.use[location] == 0:
        touched.listed[touched.listed_count[0]] = location
        touched.listed_count[0] += 1
    touched.use[location] |= use


@kernel
def touch_bytes(touched: Touched, first_place: int, address: int, count: int, use: int) -> None:
    """Touch the 16-byte words that hold ``count`` bytes from ``address`` on."""
    if count > 0:
        for word in range(address // BEAT_BYTES, (address + count - 1) // BEAT_BYTES + 1):
            touch(touched, first_place + word, use)


@kernel
def touch_table(touched: Touched, at: Places, table: int, use: int) -> None:
    """Touch an index table, if ``table`` names one."""
    if table != NO_TABLE:
        touch(touched, at.table + table, use)


@kernel
def use_port(touched: Touched, port: int) -> None:
    """Note that a port or a bank without an arbiter is used."""
    touched.ports[0] |= port
