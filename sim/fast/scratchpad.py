"""The scratchpad's contents: range checks and whole-beat copies."""

from __future__ import annotations

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.encodings import SCRATCHPAD_SPACE
from gatewright.sim.fast import faults
from gatewright.sim.fast.kernels import copy_bytes, kernel
from gatewright.sim.fast.sizes import set_fault
from gatewright.sim.fast.state import State


@kernel
def check_bytes(state: State, first: int, count: int) -> int:
    """0 if ``count`` bytes from ``first`` on lie in the scratchpad, else a fault."""
    if first + count > len(state.scratchpad):
        return set_fault(state, faults.SCRATCHPAD_RANGE, first + count - 1, len(state.scratchpad))
    return 0


@kernel
def ring_address(address: int, y: int, wrap_row: int, wrap_bytes: int) -> int:
    """The address of a byte in row ``y`` of a map that may be a ring of rows."""
    if wrap_row != 0 and y >= wrap_row:
        address -= wrap_bytes
    return address & (SCRATCHPAD_SPACE - 1)


@kernel
def copy_from_dram(state: State, dram_address: int, address: int, beats: int) -> None:
    """Copy beats into the scratchpad; both ranges were checked."""
    copy_bytes(state.scratchpad, address, state.dram, dram_address, beats * BEAT_BYTES)


@kernel
def copy_to_dram(state: State, address: int, dram_address: int, beats: int) -> None:
    """Copy beats out of the scratchpad; both ranges were checked."""
    copy_bytes(state.dram, dram_address, state.scratchpad, address, beats * BEAT_BYTES)
