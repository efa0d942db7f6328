"""What a unit's pieces see beside the memories and the instruction: the bursts listed, and the schedule so far.

Every opcode of a queued unit has the same three pieces, which ``units`` lists:

``execute(geometry, state, row, done, bursts)``
    the values; fills the work record ``done``. Returns 0, a fault (negative), or BURSTS_FULL with nothing done.
``time(geometry, row, done, schedule, ready, waits)``
    the cycles of an instruction that could be taken from its queue at ``ready``, and whose waits are met at
    ``waits``. Returns (start, run, free, done): see ``contract.trace``, and the cycle at which its unit is free.
``accesses(geometry, state, places, row, done, touched)``
    the memory locations and ports that it used, for the audit; see ``touched``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import Unit
from gatewright.sim.fast.channel import Writes

FINISHED, STOPPED, PAGE_LOADED, ROWS_FULL, BURSTS_FULL = range(5)
"""Why the run of the values paused, if not for a fault."""

MISTAKEN = 1
"""What a pass of the schedule returns that another has to follow: see ``channel``."""

UNIT_LOAD, UNIT_ARRAY = int(Unit.LOAD), int(Unit.ARRAY)
UNIT_EPILOGUE, UNIT_SEQUENCER = int(Unit.EPILOGUE), int(Unit.SEQUENCER)


class Bursts(NamedTuple):
    """The bursts of the run's LOADs: the beats of each, and [1] how many are listed."""

    lengths: npt.NDArray[np.int64]
    listed: npt.NDArray[np.int64]


STANDING, STREAM_END, ORDER_NEXT, ORDER = range(4)
"""Columns of ``Schedule.array``: the operand that stands in the array (-1: none); the last stream's end; of the places
for MATMULs that are not yet complete the next one's, and from ORDER on when each was left the last time."""


class Schedule(NamedTuple):
    """The schedule of the instructions so far."""

    free: npt.NDArray[np.int64]
    """[unit] the cycle at which it can take another instruction"""
    last_done: npt.NDArray[np.int64]
    """[unit] the completion of its last instruction"""
    bursts: npt.NDArray[np.int64]
    """the beats of each of the LOADs' bursts"""
    next_burst: npt.NDArray[np.int64]
    """[1] the next LOAD's first"""
    channel: npt.NDArray[np.int64]
    """see ``channel.read_bursts``"""
    writes: Writes
    array: npt.NDArray[np.int64]
