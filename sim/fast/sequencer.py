"""The sequencer: runs instructions for their values, then gives each its cycles (section 4).

Row 0 of every table here is the boot page's LOAD; instruction i of the program's run is row i + 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, MASKS
from gatewright.contract.isa import COUNT_BITS, FORMATS, UNITS, WAITS, Opcode, column
from gatewright.contract.timing import CONTROL_LATENCY, DECODE_LATENCY, END_LATENCY, FETCH_LATENCY
from gatewright.contract.trace import TRACE_DTYPE
from gatewright.sim.fast import faults, load, work
from gatewright.sim.fast.channel import Writes, begin_pass, end_pass
from gatewright.sim.fast.context import (
    FINISHED,
    MISTAKEN,
    PAGE_LOADED,
    ROWS_FULL,
    STOPPED,
    UNIT_LOAD,
    UNIT_SEQUENCER,
    Bursts,
    Schedule,
)
from gatewright.sim.fast.kernels import entry, kernel, sources_fingerprint
from gatewright.sim.fast.sizes import set_fault
from gatewright.sim.fast.state import ILLEGAL, NOT_LOADED, Geometry, State
from gatewright.sim.fast.units import PIECES, chain, execute_link, time_link

PC, EXECUTED, BURSTS, PAGE_FIRST, PAGE_COUNT = range(5)
"""Columns of the progress vector: instruction memory entry, rows done, bursts listed, page to decode."""
PROGRESS_COLUMNS = 5

LOAD = int(Opcode.LOAD)
NEXT, EXIT, END = int(Opcode.NEXT), int(Opcode.EXIT), int(Opcode.END)
NEXT_ENTRY = column(Opcode.NEXT, "entry")
EXIT_MASK = column(Opcode.EXIT, "mask")
EXIT_BIT = column(Opcode.EXIT, "bit")

INSTRUCTION, UNIT, DISPATCH, START, RUN, DONE = range(len(TRACE_DTYPE.names or ()))
assert TRACE_DTYPE.names == ("instruction", "unit", "dispatch", "start", "run", "done")

_UNIT_OF = np.zeros(max(FORMATS) + 1, np.int64)
for _format in FORMATS.values():
    _UNIT_OF[_format.opcode] = _format.unit

_HALF, _MODULUS = 1 << COUNT_BITS - 1, 1 << COUNT_BITS

_execute = chain(execute_link, [(p.opcode, p.execute) for p in PIECES])
_time = chain(time_link, [(p.opcode, p.time) for p in PIECES])


@kernel
def _fetch(geometry: Geometry, state: State, pc: int) -> int:
    """0 if there is a legal instruction at ``pc``, else a fault."""
    if pc >= geometry.instruction_entries:
        return set_fault(state, faults.FETCH_RANGE, pc, geometry.instruction_entries)
    if state.loaded[pc] == NOT_LOADED:
        return set_fault(state, faults.FETCH_UNWRITTEN, pc, geometry.instruction_entries)
    if state.loaded[pc] == ILLEGAL:
        return set_fault(state, faults.FETCH_ILLEGAL, pc, geometry.instruction_entries)
    return 0


def _values_kernel(fingerprint: str) -> Callable[..., int]:
    @entry
    def run_values(
        geometry: Geometry,
        state: State,
        memory: npt.NDArray[np.int64],
        progress: npt.NDArray[np.int64],
        executed: npt.NDArray[np.int64],
        table: npt.NDArray[np.int64],
        bursts: npt.NDArray[np.int64],
        stop: int,
    ) -> int:
        """Run until the end, a loaded page, a full table, row ``stop``, or a fault (negative).

        ``memory`` is the instruction memory decoded; ``executed`` and ``table`` receive the decoded
        instruction and the work record of every executed one.
        """
        assert fingerprint
        listed = Bursts(bursts, progress[BURSTS : BURSTS + 1])
        while True:
            at = progress[EXECUTED]
            if at == stop:
                return STOPPED
            if at == len(executed):
                return ROWS_FULL
            pc = progress[PC]
            if at > 0:
                status = _fetch(geometry, state, pc)
                if status < 0:
                    return status
                executed[at] = memory[pc]
                pc += 1
            row, done = executed[at], table[at]
            opcode = row[0]
            done[:] = 0
            done[work.OPCODE] = opcode
            if _UNIT_OF[opcode] != UNIT_SEQUENCER:
                status = _execute(geometry, state, row, done, listed)
                if status != 0:
                    return status
            if opcode == NEXT:
                pc = row[NEXT_ENTRY]
            if opcode == EXIT:
                if row[EXIT_MASK] >= MASKS:
                    return set_fault(state, faults.MASK_NUMBER, row[EXIT_MASK], MASKS)
                if row[EXIT_BIT] >= MASK_BITS:
                    return set_fault(state, faults.MASK_RANGE, row[EXIT_BIT], MASK_BITS)
            progress[PC] = pc
            progress[EXECUTED] += 1
            if opcode == END or (opcode == EXIT and state.masks[row[EXIT_MASK], row[EXIT_BIT]]):
                return FINISHED
            if opcode == LOAD and row[load.SPACE] == load.INSTRUCTIONS:
                progress[PAGE_FIRST] = row[load.ADDRESS]
                progress[PAGE_COUNT] = done[work.BYTES] // state.instructions.shape[1]
                return PAGE_LOADED

    return run_values


@kernel
def _waits_met(
    state: State, row: npt.NDArray[np.int64], issued: npt.NDArray[np.int64], done_at: npt.NDArray[np.int64]
) -> int:
    """The cycle at which all waits of an instruction are met, or a fault."""
    met = 0
    for wait in range(WAITS):
        unit, count = row[1 + 2 * wait], row[2 + 2 * wait]
        if unit == 0:
            continue
        behind = (issued[unit] - count) % _MODULUS
        if behind >= _HALF or behind > issued[unit]:
            return set_fault(state, faults.WAIT_AHEAD, count, issued[unit])
        if issued[unit] > behind:
            met = max(met, done_at[unit, issued[unit] - behind - 1])
    return met


def _schedule_kernel(fingerprint: str) -> Callable[..., int]:
    @entry
    def schedule(
        geometry: Geometry,
        state: State,
        executed: npt.NDArray[np.int64],
        table: npt.NDArray[np.int64],
        bursts: npt.NDArray[np.int64],
        writes: Writes,
        trace: npt.NDArray[np.int64],
    ) -> int:
        """Fill ``trace`` [rows, 6] from the work of the executed instructions.

        Returns 0, MISTAKEN if another pass has to follow with what ``writes`` knows now, or a fault whose row is left
        in ``trace[0, INSTRUCTION]``.
        """
        assert fingerprint
        rows = len(executed)
        issued = np.zeros(UNITS, np.int64)
        started_at = np.zeros((UNITS, rows), np.int64)
        done_at = np.zeros((UNITS, rows), np.int64)
        channel = np.zeros(1 + len(bursts), np.int64)
        none = np.zeros(UNITS, np.int64), np.zeros(UNITS, np.int64)
        now = Schedule(none[0], none[1], bursts, np.zeros(1, np.int64), channel, writes, np.array([-1, 0]))
        last_done = now.last_done
        begin_pass(geometry, writes)

        _, _, now.free[UNIT_LOAD], last_done[UNIT_LOAD] = load.time(geometry, executed[0], table[0], now, 0, 0)
        turn = last_done[UNIT_LOAD] + FETCH_LATENCY
        for at in range(1, rows):
            row, done, record = executed[at], table[at], trace[at]
            opcode = row[0]
            unit = _UNIT_OF[opcode]
            record[INSTRUCTION] = at - 1
            record[UNIT] = unit
            waits = _waits_met(state, row, issued, done_at)
            if waits < 0:
                trace[0, INSTRUCTION] = at
                return waits
            if unit == UNIT_SEQUENCER:
                cycle = max(turn + CONTROL_LATENCY, waits)
                if at == rows - 1:
                    cycle = max(cycle + END_LATENCY, last_done.max())
                record[DISPATCH] = record[START] = record[RUN] = cycle
                record[DONE] = cycle + 1
                turn = cycle + (FETCH_LATENCY if opcode == NEXT else 1)
                continue
            number = issued[unit]
            dispatch = turn
            if number >= geometry.queue_depth:
                dispatch = max(dispatch, started_at[unit, number - geometry.queue_depth] + 1)
            turn = dispatch + 1
            head = dispatch if number == 0 else max(dispatch, started_at[unit, number - 1])
            ready = max(head + 1 + DECODE_LATENCY, now.free[unit])
            start, run, now.free[unit], end = _time(geometry, row, done, now, ready, waits)
            record[DISPATCH], record[START], record[RUN], record[DONE] = dispatch, start, run, end
            started_at[unit, number] = start
            done_at[unit, number] = end
            last_done[unit] = end
            issued[unit] += 1
        return 0 if end_pass(geometry, writes) else MISTAKEN

    return schedule


run_values = _values_kernel(sources_fingerprint())
schedule = _schedule_kernel(sources_fingerprint())
