"""The audit of order: do the waits alone prove that every read follows its write, whatever the cycles are?

The audit by cycles accepts a program that lacks a wait if slack happens to hide it. A slower memory, or a bus that
stalls, has other cycles. This audit knows no cycles: an instruction is *after* another one only if its unit's order,
waits, or dispatch behind a NEXT or EXIT say so, directly or in steps (vector clocks over the completion counts).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import COUNT_BITS, UNITS, WAITS, Unit
from gatewright.sim.fast.context import UNIT_ARRAY, UNIT_EPILOGUE, UNIT_LOAD, UNIT_SEQUENCER
from gatewright.sim.fast.kernels import entry, sources_fingerprint
from gatewright.sim.fast.sequencer import UNIT
from gatewright.sim.fast.touched import EARLY_READ, READ, WRITE

READ_UNORDERED, OVERWRITE_UNORDERED, WRITE_UNORDERED = 1, 2, 3

TEXTS = {READ_UNORDERED: "reads", OVERWRITE_UNORDERED: "overwrites what is read of", WRITE_UNORDERED: "also writes"}

_MODULUS = 1 << COUNT_BITS
_PIPELINED = (UNIT_LOAD, UNIT_ARRAY)
"""Units that begin an instruction while the one before is still under way; their data keep the order."""


def clocks(executed: npt.NDArray[np.int64], units: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    """What is certainly complete when each instruction begins.

    Returns ``(begin, early, fetched, number)``: ``begin[i, u]``, ``early[i, u]`` and ``fetched[i, u]``
    [instructions, units] are how many instructions of unit u are complete before i's work, before what i reads ahead of
    its waits, and before i itself is fetched; ``number[i]`` is i's place in its unit.
    """
    rows = len(executed)
    begin = np.zeros((rows, UNITS), np.int64)
    early = np.zeros((rows, UNITS), np.int64)
    fetched = np.zeros((rows, UNITS), np.int64)
    number = np.zeros(rows, np.int64)
    complete: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(UNITS)]
    started = np.zeros((UNITS, UNITS), np.int64)
    dispatched = np.zeros(UNITS, np.int64)
    for at in range(rows):
        unit = int(units[at])
        clock = np.maximum(dispatched, started[unit])
        number[at] = len(complete[unit])
        if unit not in (*_PIPELINED, UNIT_SEQUENCER) and complete[unit]:
            clock = np.maximum(clock, complete[unit][-1])
        early[at], fetched[at] = clock, dispatched
        for wait in range(WAITS):
            other, count = int(executed[at, 1 + 2 * wait]), int(executed[at, 2 + 2 * wait])
            if other == Unit.NONE:
                continue
            given = len(complete[other])
            reached = given - (given - count) % _MODULUS
            if reached > 0:
                clock = np.maximum(clock, complete[other][reached - 1])
        begin[at] = clock
        if unit == UNIT_SEQUENCER:
            dispatched = np.maximum(dispatched, clock)
            continue
        # EPILOGUE is taken before its waits, but the one behind it is taken when it has run.
        started[unit] = early[at] if unit == UNIT_EPILOGUE else clock
        end = clock.copy()
        end[unit] = number[at] + 1
        if complete[unit]:
            end = np.maximum(end, complete[unit][-1])
        complete[unit].append(end)
    return begin, early, fetched, number


def _order_kernel(fingerprint: str) -> Callable[..., int]:
    @entry
    def find_unordered(
        trace: npt.NDArray[np.int64],
        begin: npt.NDArray[np.int64],
        early: npt.NDArray[np.int64],
        fetched: npt.NDArray[np.int64],
        number: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        locations: npt.NDArray[np.int64],
        uses: npt.NDArray[np.uint8],
        first_instruction: int,
        first_dram: int,
        total: int,
        violation: npt.NDArray[np.int64],
    ) -> int:
        """The first pair that no wait orders: its kind, or 0; ``violation`` gets the later, the earlier, the place."""
        assert fingerprint
        writer = np.full(total, -1, np.int64)
        reader = np.full((total, UNITS), -1, np.int64)
        first = 0
        for at in range(len(ends)):
            unit = trace[at, UNIT]
            for index in range(first, ends[at]):
                location, use = locations[index], uses[index]
                # Instructions are fetched by the sequencer: behind the waits of the NEXTs and EXITs before.
                of_fetch = first_instruction <= location < first_dram and use & READ
                violation[0], violation[2] = at, location
                last = writer[location]
                violation[1] = last
                if use & (READ | EARLY_READ) and last >= 0:
                    writing = trace[last, UNIT]
                    known = begin[at, writing]
                    if of_fetch:
                        known = fetched[at, writing]
                    elif use & EARLY_READ:
                        known = early[at, writing]
                    if (of_fetch or writing != unit) and known <= number[last]:
                        return READ_UNORDERED
                if use & WRITE:
                    if last >= 0 and trace[last, UNIT] != unit and begin[at, trace[last, UNIT]] <= number[last]:
                        return WRITE_UNORDERED
                    for other in range(UNITS):
                        violation[1] = reader[location, other]
                        if violation[1] < 0 or other == unit or other == UNIT_SEQUENCER:
                            continue
                        if begin[at, other] <= number[violation[1]]:
                            return OVERWRITE_UNORDERED
                    writer[location] = at
                    reader[location] = -1
                if use & (READ | EARLY_READ) and not of_fetch:
                    reader[location, unit] = at
            first = ends[at]
        return 0

    return find_unordered


find_unordered = _order_kernel(sources_fingerprint(audit=True))


def unordered_users(
    users: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    begin: npt.NDArray[np.int64],
    number: npt.NDArray[np.int64],
) -> tuple[int, int] | None:
    """The first (later, earlier) pair of users of a resource without arbiter that no wait orders, or None."""
    latest: dict[int, int] = {}
    for user in (int(u) for u in users):
        for unit, other in latest.items():
            if unit != units[user] and begin[user, unit] <= number[other]:
                return user, other
        latest[int(units[user])] = user
    return None
