"""The sequencer: runs instructions for their values, then gives each its cycles (section 4).

Rows of every table here are what is executed, in order: at the begin of each image the boot page's LOAD, with opcode
BOOT, then instructions, those that a SKIP leaves out among them. ``executed`` holds them as they are dispatched: an
instruction of the images' rings with this image's address.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gatewright.contract.images import DRAM_ADDRESSES
from gatewright.contract.isa import COUNT_BITS, FORMATS, NO_TABLE, UNITS, WAITS, Opcode, column
from gatewright.contract.timing import CONTROL_LATENCY, DECODE_LATENCY, END_LATENCY, FETCH_LATENCY, LEFT_OUT_LATENCY
from gatewright.contract.trace import TRACE_DTYPE
from gatewright.sim.fast import array, faults, load, store, work
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

PC, EXECUTED, BURSTS, PAGE_FIRST, PAGE_COUNT, ROW, TO_LEAVE_OUT, IMAGE = range(8)
"""Columns of the progress vector: instruction memory entry, rows done, bursts listed, page to decode; the program's
instruction; how many a SKIP leaves out from here on; the image."""
PROGRESS_COLUMNS = 8

BOOT = 0
LOAD, STORE = int(Opcode.LOAD), int(Opcode.STORE)
NEXT, EXIT, SKIP, END = int(Opcode.NEXT), int(Opcode.EXIT), int(Opcode.SKIP), int(Opcode.END)
NEXT_ENTRY = column(Opcode.NEXT, "entry")
COUNT_TABLE, MOST = column(Opcode.EXIT, "count_table"), column(Opcode.EXIT, "most")
assert all(column(Opcode.SKIP, name) == column(Opcode.EXIT, name) for name in ("count_table", "most"))
SKIP_INSTRUCTIONS = column(Opcode.SKIP, "instructions")

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


@kernel
def _table_count(geometry: Geometry, state: State, table: int) -> int:
    """Entries of a table that decides, or a fault."""
    if table == NO_TABLE:
        return 0
    if table >= geometry.tables:
        return set_fault(state, faults.TABLE_NUMBER, table, geometry.tables)
    return int(state.counts[table])


@kernel
def _decide(geometry: Geometry, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> int:
    """Work out whether an EXIT or a SKIP is taken. Returns 0 or a fault."""
    count = _table_count(geometry, state, row[COUNT_TABLE])
    if count < 0:
        return count
    done[work.TAKEN] = (count > row[MOST]) == (row[0] == EXIT)
    return 0


@kernel
def _runs_always(row: npt.NDArray[np.int64]) -> bool:
    """Whether no SKIP leaves this instruction out: the order of the pages, and the end."""
    return bool(row[0] == NEXT or row[0] == END or (row[0] == LOAD and row[load.SPACE] == load.INSTRUCTIONS))


@kernel
def _place_in_rings(rings: npt.NDArray[np.int64], row: npt.NDArray[np.int64]) -> None:
    """Make the address of an instruction of the rings that of this image."""
    if row[0] == LOAD and row[load.RING]:
        row[load.DRAM] = (row[load.DRAM] + rings[0]) % DRAM_ADDRESSES
    if row[0] == STORE and row[store.RING]:
        row[store.DRAM] = (row[store.DRAM] + rings[1]) % DRAM_ADDRESSES


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
        boot: npt.NDArray[np.int64],
        rings: npt.NDArray[np.int64],
        stop: int,
    ) -> int:
        """Run until the image's end, a loaded page, a full table, row ``stop``, or a fault (negative).

        ``memory`` is the instruction memory decoded; ``executed`` and ``table`` receive the decoded
        instruction and the work record of every executed one. ``boot``: the LOAD that begins the image; ``rings`` [2]:
        what is added to addresses of the rings of inputs and outputs.
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
            first = progress[ROW] < 0
            if not first:
                status = _fetch(geometry, state, pc)
                if status < 0:
                    return status
                executed[at] = memory[pc]
                _place_in_rings(rings, executed[at])
                pc += 1
            else:
                executed[at] = boot
                executed[at, 0] = BOOT
            row, done = executed[at], table[at]
            done[:] = 0
            done[work.OPCODE] = opcode = row[0]
            if progress[TO_LEAVE_OUT] > 0:
                progress[TO_LEAVE_OUT] -= 1
                done[work.LEFT_OUT] = not _runs_always(row)
            if not done[work.LEFT_OUT]:
                status = 0
                if first:
                    status = load.execute(geometry, state, row, done, listed)
                elif _UNIT_OF[opcode] != UNIT_SEQUENCER:
                    status = _execute(geometry, state, row, done, listed)
                elif opcode == EXIT or opcode == SKIP:
                    status = _decide(geometry, state, row, done)
                elif opcode == NEXT:
                    pc = row[NEXT_ENTRY]
                if status != 0:
                    return status
                if opcode == SKIP and done[work.TAKEN]:
                    progress[TO_LEAVE_OUT] = row[SKIP_INSTRUCTIONS]
            progress[PC] = pc
            progress[ROW] += 1
            progress[EXECUTED] += 1
            if opcode == END or (opcode == EXIT and done[work.TAKEN]):
                return FINISHED
            if first or (opcode == LOAD and row[load.SPACE] == load.INSTRUCTIONS):
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


@kernel
def _waits_for_load(row: npt.NDArray[np.int64]) -> bool:
    """Whether one of an instruction's waits names LOAD."""
    for wait in range(WAITS):
        if row[1 + 2 * wait] == UNIT_LOAD:
            return True
    return False


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
        now = Schedule(none[0], none[1], bursts, np.zeros(1, np.int64), channel, writes, array.at_start(geometry))
        last_done = now.last_done
        begin_pass(geometry, writes)

        turn = begin = 0
        for at in range(rows):
            row, done, record = executed[at], table[at], trace[at]
            opcode = row[0]
            unit = _UNIT_OF[opcode]
            if opcode == BOOT:
                begin, issued[:] = at, 0
                start, run, now.free[UNIT_LOAD], end = load.time(geometry, row, done, now, turn, 0)
                record[INSTRUCTION], record[UNIT] = -1, UNIT_LOAD
                record[DISPATCH], record[START], record[RUN], record[DONE] = turn, start, run, end
                last_done[UNIT_LOAD] = end
                turn = end + FETCH_LATENCY
                continue
            record[INSTRUCTION], record[UNIT] = at - begin - 1, unit
            number = issued[unit]
            waits = _waits_met(state, row, issued, done_at)
            if waits < 0:
                trace[0, INSTRUCTION] = at
                return waits
            if done[work.LEFT_OUT]:
                # All units but LOAD are idle: what is to wait for is there but for LOADs.
                cycle = turn
                if unit == UNIT_LOAD or _waits_for_load(row):
                    cycle = max(turn + CONTROL_LATENCY, waits, last_done[UNIT_LOAD] if unit == UNIT_LOAD else 0)
                record[DISPATCH] = record[START] = record[RUN] = cycle
                record[DONE] = done_at[unit, number] = cycle + LEFT_OUT_LATENCY
                started_at[unit, number] = cycle
                issued[unit] += 1
                turn = cycle + 1
                continue
            if unit == UNIT_SEQUENCER:
                cycle = max(turn + CONTROL_LATENCY, waits)
                ends = opcode == END or (opcode == EXIT and done[work.TAKEN])
                if ends:
                    cycle = max(cycle + END_LATENCY, last_done.max())
                if opcode == SKIP and done[work.TAKEN]:
                    cycle = max(cycle + END_LATENCY, last_done[UNIT_LOAD + 1 :].max())
                record[DISPATCH] = record[START] = record[RUN] = cycle
                record[DONE] = cycle + 1
                turn = cycle + (FETCH_LATENCY if opcode == NEXT else 1)
                continue
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
