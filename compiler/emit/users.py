"""Who used each part of the machine's memories last: what the emitter derives waits from."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import QUEUED_UNITS

UNITS = 1 + max(QUEUED_UNITS)
"""Units with a queue, and NONE."""


class Users:
    """Per granule of every memory, and per unit: the count that the last writer's and reader's completion makes.

    ``memories`` gives each memory's size and granule, in its own addresses.
    """

    def __init__(self, memories: dict[str, tuple[int, int]]) -> None:
        self._places: dict[str, tuple[int, int]] = {}
        total = 0
        for name, (size, granule) in memories.items():
            self._places[name] = total, granule
            total += -(-size // granule)
        self._writers = np.zeros((total, UNITS), np.int64)
        self._readers = np.zeros((total, UNITS), np.int64)

    def before(self, spans: npt.NDArray[np.int64]) -> list[int]:
        """Per unit, the completions that accesses must follow: earlier writers always, earlier readers for a write."""
        return _before(self._writers, self._readers, spans).tolist()

    def record(self, spans: npt.NDArray[np.int64], unit: int, count: int) -> None:
        """Note that an instruction of ``unit``, whose completion makes ``count``, does these accesses."""
        if len(spans):
            _record(self._writers, self._readers, spans, int(unit), count)  # an enum is slow to type

    def spans(self, accesses: Sequence[tuple[str, int, int, bool, bool]]) -> npt.NDArray[np.int64]:
        """Accesses (memory, low, high, write, early) as [n, 3]: first granule, end granule, whether it writes."""
        spans = []
        for memory, low, high, write, _ in accesses:
            offset, granule = self._places[memory]
            first = low // granule
            spans.append((offset + first, offset + max(first + 1, -(-high // granule)), write))
        return np.array(spans, np.int64).reshape(-1, 3)


@numba.njit(cache=True)
def _before(writers, readers, spans):  # type: ignore[no-untyped-def]
    needed = np.zeros(UNITS, np.int64)
    for k in range(len(spans)):
        for place in range(spans[k, 0], spans[k, 1]):
            for unit in range(UNITS):
                needed[unit] = max(needed[unit], writers[place, unit])
                if spans[k, 2]:
                    needed[unit] = max(needed[unit], readers[place, unit])
    return needed


@numba.njit(cache=True)
def _record(writers, readers, spans, unit, count):  # type: ignore[no-untyped-def]
    for k in range(len(spans)):
        for place in range(spans[k, 0], spans[k, 1]):
            if spans[k, 2]:
                writers[place, unit] = count
            else:
                readers[place, unit] = count
