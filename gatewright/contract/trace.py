"""The record that the simulator and the RTL both emit: one per executed instruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TRACE_DTYPE = np.dtype(
    [
        ("instruction", np.int64),
        ("unit", np.int64),
        ("dispatch", np.int64),
        ("start", np.int64),
        ("run", np.int64),
        ("done", np.int64),
    ]
)
"""Cycles of one executed instruction: handed to its unit's queue; taken from the queue; waits met and
work begun; counted as complete."""


@dataclass(frozen=True)
class Trace:
    """Every executed instruction in program order, and the cycle at which the machine stopped."""

    records: npt.NDArray[np.void]
    cycles: int


def busy_cycles(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> int:
    """What a unit's register BUSY counts: cycles in at least one of its ranges [start, done), which come by starts."""
    if not len(starts):
        return 0
    before = np.concatenate([starts[:1], np.maximum.accumulate(ends)[:-1]])
    return int(np.maximum(ends - np.maximum(starts, before), 0).sum())


@dataclass(frozen=True)
class Difference:
    """The first place where two traces part."""

    position: int
    field: str
    left: int
    right: int


def first_difference(left: Trace, right: Trace) -> Difference | None:
    """Compare two traces record by record, field by field; then their lengths and total cycles."""
    for position, (a, b) in enumerate(zip(left.records, right.records, strict=False)):
        for name in TRACE_DTYPE.names or ():
            if a[name] != b[name]:
                return Difference(position, name, int(a[name]), int(b[name]))
    shorter = min(len(left.records), len(right.records))
    if len(left.records) != len(right.records):
        return Difference(shorter, "length", len(left.records), len(right.records))
    if left.cycles != right.cycles:
        return Difference(shorter, "cycles", left.cycles, right.cycles)
    return None
