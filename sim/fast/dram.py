"""DRAM timing: bursts that never cross 4 KiB, a fixed latency, beats at a rational rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.axi import BURST_BOUNDARY
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.sizes import ceil_div
from gatewright.sim.fast.state import Geometry


@kernel
def bursts_of(address: int, beats: int) -> int:
    """Bursts that a row of ``beats`` beats at a byte address is split into."""
    if beats == 0:
        return 0
    return (address + beats * BEAT_BYTES - 1) // BURST_BOUNDARY - address // BURST_BOUNDARY + 1


@kernel
def burst_beats(address: int, beats: int) -> int:
    """Beats of the first burst of so many from a byte address on."""
    return min(beats, (BURST_BOUNDARY - address % BURST_BOUNDARY) // BEAT_BYTES)


@kernel
def split_row(address: int, beats: int, lengths: npt.NDArray[np.int64], first: int) -> int:
    """Write the beats of each burst of a row to ``lengths`` from ``first`` on; return the next free place."""
    while beats > 0:
        length = burst_beats(address, beats)
        lengths[first] = length
        first += 1
        address += length * BEAT_BYTES
        beats -= length
    return first


@kernel
def burst_cycles(geometry: Geometry, beats: int) -> int:
    """Cycles that a burst holds the data channel."""
    return ceil_div(beats * geometry.dram_per_cycles, geometry.dram_beats)


@kernel
def row_cycles(geometry: Geometry, address: int, beats: int) -> int:
    """Cycles that the bursts of a row hold the data channel, without the gaps between them."""
    cycles = 0
    while beats > 0:
        length = burst_beats(address, beats)
        cycles += burst_cycles(geometry, length)
        address += length * BEAT_BYTES
        beats -= length
    return cycles
