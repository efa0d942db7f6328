"""STORE: what it moves and what it costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import Opcode, column
from gatewright.contract.timing import STORE_LATENCY
from gatewright.sim.fast import faults, work
from gatewright.sim.fast.channel import time_store
from gatewright.sim.fast.context import Bursts, Schedule
from gatewright.sim.fast.dram import bursts_of, row_cycles
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.scratchpad import check_bytes, copy_to_dram
from gatewright.sim.fast.sizes import set_fault
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import PORT_B, READ, WRITE, Places, Touched, touch_bytes, use_port

DRAM = column(Opcode.STORE, "dram_address")
ADDRESS = column(Opcode.STORE, "address")
BEATS = column(Opcode.STORE, "beats")
RING = column(Opcode.STORE, "ring")


@kernel
def execute(
    geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], bursts: Bursts
) -> int:
    """Execute a STORE. Returns 0 or a fault."""
    address, dram_address, beats = row[ADDRESS], row[DRAM], row[BEATS]
    if dram_address % BEAT_BYTES:
        return set_fault(state, faults.DRAM_ALIGNMENT, dram_address, BEAT_BYTES)
    if address % BEAT_BYTES:
        return set_fault(state, faults.STORE_ALIGNMENT, address, BEAT_BYTES)
    if dram_address + beats * BEAT_BYTES > len(state.dram):
        return set_fault(state, faults.DRAM_RANGE, dram_address + beats * BEAT_BYTES - 1, len(state.dram))
    status = check_bytes(state, address, beats * BEAT_BYTES)
    if status < 0:
        return status
    copy_to_dram(state, address, dram_address, beats)
    done[work.BYTES] = beats * BEAT_BYTES
    done[work.BURSTS] = bursts_of(dram_address, beats)
    done[work.CYCLES] = row_cycles(geometry, dram_address, beats)
    return 0


@kernel
def time(
    geometry: Geometry,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    schedule: Schedule,
    ready: int,
    waits: int,
) -> tuple[int, int, int, int]:
    """(start, run, free, done) of a STORE."""
    start = max(ready, waits)
    if geometry.dram_shared and done[work.BURSTS] > 0:
        end = time_store(geometry, schedule.writes, start, schedule.channel[0])
        return start, start, end, end
    data = row_cycles(geometry, row[DRAM], row[BEATS]) + done[work.BURSTS] * geometry.burst_gap
    end = start + STORE_LATENCY + data + geometry.dram_latency
    return start, start, end, end


@kernel
def accesses(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    """What a STORE used: see ``touched``."""
    size = done[work.BYTES]
    touch_bytes(touched, at.scratchpad, row[ADDRESS], size, READ)
    touch_bytes(touched, at.dram, row[DRAM], size, WRITE)
    if size > 0:
        use_port(touched, PORT_B)
