"""The sequencer: runs instructions for their values, then gives each its cycles (section 4).

Row 0 of every table here is the boot page's LOAD; instruction i of the program's run is row i + 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import FORMATS, UNITS, WAITS, Opcode, Unit, column
from gatewright.contract.timing import DECODE_LATENCY, FETCH_LATENCY
from gatewright.contract.trace import TRACE_DTYPE
from gatewright.sim.fast import array, epilogue, epilogue_values, faults, gather, index, load, store, work
from gatewright.sim.fast.kernels import entry, kernel, sources_fingerprint
from gatewright.sim.fast.sizes import set_fault
from gatewright.sim.fast.state import ILLEGAL, NOT_LOADED, Geometry, State

PC, EXECUTED, BURSTS, PAGE_FIRST, PAGE_COUNT = range(5)
"""Columns of the progress vector: instruction memory entry, rows done, bursts listed, page to decode."""
PROGRESS_COLUMNS = 5

FINISHED, STOPPED, PAGE_LOADED, ROWS_FULL, BURSTS_FULL = range(5)
"""Why ``run_values`` returned, if not for a fault."""

LOAD, GATHER, MATMUL = int(Opcode.LOAD), int(Opcode.GATHER), int(Opcode.MATMUL)
EPILOGUE, INDEX, STORE = int(Opcode.EPILOGUE), int(Opcode.INDEX), int(Opcode.STORE)
NEXT, EXIT, END = int(Opcode.NEXT), int(Opcode.EXIT), int(Opcode.END)
NEXT_ENTRY = column(Opcode.NEXT, "entry")
EXIT_MASK = column(Opcode.EXIT, "mask")
EXIT_BIT = column(Opcode.EXIT, "bit")

INSTRUCTION, UNIT, DISPATCH, START, RUN, DONE = range(len(TRACE_DTYPE.names or ()))
assert TRACE_DTYPE.names == ("instruction", "unit", "dispatch", "start", "run", "done")

UNIT_LOAD, UNIT_ARRAY = int(Unit.LOAD), int(Unit.ARRAY)
UNIT_EPILOGUE, UNIT_SEQUENCER = int(Unit.EPILOGUE), int(Unit.SEQUENCER)
_UNIT_OF = np.zeros(max(FORMATS) + 1, np.int64)
for _format in FORMATS.values():
    _UNIT_OF[_format.opcode] = _format.unit

_HALF, _MODULUS = 1 << 15, 1 << 16


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


@kernel
def _compute(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Execute a unit's instruction other than LOAD."""
    opcode = row[0]
    if opcode == GATHER:
        return gather.execute(geometry, state, row, done)
    if opcode == MATMUL:
        return array.execute(geometry, state, row, done)
    if opcode == EPILOGUE:
        return epilogue_values.execute(geometry, state, row, done)
    if opcode == INDEX:
        return index.execute(geometry, state, row, done)
    if opcode == STORE:
        return store.execute(geometry, state, row, done)
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
            if opcode == LOAD:
                count = load.count_bursts(state, row)
                if count < 0:
                    return count
                if progress[BURSTS] + count > len(bursts):
                    return BURSTS_FULL
                status = load.execute(geometry, state, row, done, bursts, progress[BURSTS])
                progress[BURSTS] += count
            else:
                status = _compute(geometry, state, row, done)
            if status < 0:
                return status
            if opcode == NEXT:
                pc = row[NEXT_ENTRY]
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
        trace: npt.NDArray[np.int64],
    ) -> int:
        """Fill ``trace`` [rows, 6] from the work of the executed instructions.

        Returns 0, or a fault whose row is left in ``trace[0, INSTRUCTION]``.
        """
        assert fingerprint
        rows = len(executed)
        issued = np.zeros(UNITS, np.int64)
        free = np.zeros(UNITS, np.int64)
        last_done = np.zeros(UNITS, np.int64)
        started_at = np.zeros((UNITS, rows), np.int64)
        done_at = np.zeros((UNITS, rows), np.int64)
        channel = np.zeros(1 + len(bursts), np.int64)
        stream_end, standing = 0, -1

        free[UNIT_LOAD], last_done[UNIT_LOAD] = load.time(geometry, table[0], 0, 0, bursts, 0, channel)
        next_burst = table[0, work.BURSTS]
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
                cycle = max(turn, waits)
                if at == rows - 1:
                    cycle = max(cycle, last_done.max())
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
            start = max(head + 1 + DECODE_LATENCY, free[unit])
            if unit != UNIT_EPILOGUE:
                start = max(start, waits)
            run = start
            if unit == UNIT_ARRAY:
                still = row[array.STATIONARY]
                if standing >= 0 and still != standing:
                    start = run = max(start, stream_end)
                if done[work.BLOCKS] == 0:
                    free[unit] = max(start + 1, stream_end)
                    end = start + 1
                else:
                    standing = still
                    free[unit], stream_end, end = array.time(geometry, row, done, start, stream_end)
                end = max(end, last_done[unit] + 1)
            elif unit == UNIT_LOAD:
                free[unit], end = load.time(geometry, done, start, last_done[unit], bursts, next_burst, channel)
                next_burst += done[work.BURSTS]
            else:
                if opcode == EPILOGUE:
                    run, end = epilogue.time(done, start, waits)
                elif opcode == GATHER:
                    end = gather.time(done, start)
                elif opcode == INDEX:
                    end = index.time(done, start)
                else:
                    end = store.time(geometry, done, start)
                free[unit] = end
            record[DISPATCH], record[START], record[RUN], record[DONE] = dispatch, start, run, end
            started_at[unit, number] = start
            done_at[unit, number] = end
            last_done[unit] = end
            issued[unit] += 1
        return 0

    return schedule


run_values = _values_kernel(sources_fingerprint())
schedule = _schedule_kernel(sources_fingerprint())
