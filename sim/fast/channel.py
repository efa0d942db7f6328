"""The DRAM's data channel: when each burst's data move, alone among reads or between reads and writes.

With separate channels a LOAD's bursts follow from the LOADs before it in the program, and a STORE's from its start.
With ``dram.shared`` reads and writes have one order, that of their addresses' cycles, which is not the program's: a
LOAD far behind a STORE may read first. So the schedule is worked out in passes, in program order as ever. A pass takes
from the one before it the starts and completions of the STOREs that are known; of every other STORE it takes the
completion for one that no later LOAD puts off, and tells nobody in front of it in the program of its start. The first
STORE, in time, of which a pass finds that to be wrong has by then been given its right start or completion, since
nothing but what came earlier has a part in it: one more is known. The pass that finds nothing wrong has what the
machine does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.axi import burst_beats
from gatewright.contract.isa import Opcode, column
from gatewright.contract.timing import STORE_ANSWER, STORE_BUS_START
from gatewright.sim.fast.dram import burst_cycles
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.state import Geometry

UNKNOWN = -1
"""In place of a cycle."""

TIMED, NEXT_WRITE, END = range(3)
"""Places of ``Writes.line``: STOREs given their start in this pass, the next write to be placed, the last end."""

_ALL = 1 << 62

_DRAM = column(Opcode.STORE, "dram_address")
_BEATS = column(Opcode.STORE, "beats")


class Writes(NamedTuple):
    """The write bursts of a run on a shared channel, and what is known of the STOREs that they are of.

    STOREs without beats are not among them. Cycles may be UNKNOWN.
    """

    lengths: npt.NDArray[np.int64]
    """[burst] beats"""
    store: npt.NDArray[np.int64]
    """[burst] the number of its STORE"""
    first: npt.NDArray[np.int64]
    """[STORE] its first burst"""
    start: npt.NDArray[np.int64]
    """[STORE]"""
    done: npt.NDArray[np.int64]
    """[STORE] the completion that is taken for true"""
    placed: npt.NDArray[np.int64]
    """[STORE] the completion that follows, once all its bursts have their place"""
    late: npt.NDArray[np.bool_]
    """[STORE] whether reads that should have followed its first address had been placed by then"""
    line: npt.NDArray[np.int64]


def writes_of(shared: bool, executed: npt.NDArray[np.int64]) -> Writes:
    """The write bursts of the executed instructions [rows, COLUMNS]; none of a machine with separate channels."""
    lengths: list[int] = []
    store: list[int] = []
    first: list[int] = []
    stores = executed[(executed[:, 0] == Opcode.STORE) & (executed[:, _BEATS] > 0)] if shared else executed[:0]
    for number, row in enumerate(stores):
        address, left = int(row[_DRAM]), int(row[_BEATS])
        first.append(len(lengths))
        while left:
            beats = burst_beats(address, left)
            lengths.append(beats)
            store.append(number)
            address, left = address + beats * BEAT_BYTES, left - beats
    start, done, placed = (np.full(len(first), UNKNOWN, np.int64) for _ in range(3))
    return Writes(
        lengths=np.array(lengths, np.int64),
        store=np.array(store, np.int64),
        first=np.array(first, np.int64),
        start=start,
        done=done,
        placed=placed,
        late=np.zeros(len(first), np.bool_),
        line=np.zeros(3, np.int64),
    )


@kernel
def begin_pass(geometry: Geometry, writes: Writes) -> None:
    """Before the first burst of a pass."""
    writes.line[TIMED] = writes.line[NEXT_WRITE] = 0
    writes.line[END] = -geometry.burst_gap
    writes.placed[:] = UNKNOWN
    writes.late[:] = False


@kernel
def _write_end(geometry: Geometry, writes: Writes, burst: int, end: int) -> int:
    """Where a write's data end, behind a burst that ends at ``end``."""
    earliest = _address_cycle(writes, burst) + 1 + STORE_BUS_START
    return max(earliest, end + geometry.burst_gap) + burst_cycles(geometry, writes.lengths[burst])


@kernel
def _address_cycle(writes: Writes, burst: int) -> int:
    store = writes.store[burst]
    return int(writes.start[store] + burst - writes.first[store])


@kernel
def _answered(geometry: Geometry, end: int) -> int:
    """The completion of a STORE whose last beat ends at ``end``."""
    return end + geometry.burst_gap + geometry.dram_latency + STORE_ANSWER


@kernel
def _is_last(writes: Writes, burst: int) -> bool:
    return burst + 1 == len(writes.store) or writes.store[burst + 1] != writes.store[burst]


@kernel
def _place_writes(geometry: Geometry, writes: Writes, before: int) -> None:
    """Give the writes their place whose addresses are known to leave before a cycle."""
    line = writes.line
    while line[NEXT_WRITE] < len(writes.lengths):
        burst = line[NEXT_WRITE]
        store = writes.store[burst]
        if writes.start[store] == UNKNOWN or _address_cycle(writes, burst) >= before:
            return
        line[END] = _write_end(geometry, writes, burst, line[END])
        line[NEXT_WRITE] += 1
        if _is_last(writes, burst):
            writes.placed[store] = _answered(geometry, line[END])


@kernel
def time_store(geometry: Geometry, writes: Writes, start: int, last_read: int) -> int:
    """The completion of the next STORE, as far as it is known; ``last_read``: the last read's address cycle."""
    store = writes.line[TIMED]
    writes.line[TIMED] += 1
    if writes.start[store] == UNKNOWN:
        writes.start[store] = start
        writes.late[store] = last_read > start
    assert writes.start[store] == start
    if writes.placed[store] != UNKNOWN:
        writes.done[store] = writes.placed[store]
    if writes.done[store] == UNKNOWN:
        end, burst = writes.line[END], writes.line[NEXT_WRITE]
        while burst < len(writes.store) and writes.store[burst] <= store:
            end = _write_end(geometry, writes, burst, end)
            burst += 1
        writes.done[store] = _answered(geometry, end)
    return int(writes.done[store])


@kernel
def end_pass(geometry: Geometry, writes: Writes) -> bool:
    """Whether the pass was right. If not, what it says of STOREs behind the first mistake is forgotten."""
    _place_writes(geometry, writes, _ALL)
    for store in range(len(writes.start)):
        wrong = writes.done[store] != writes.placed[store]
        if writes.late[store] or wrong:
            writes.done[store] = UNKNOWN if writes.late[store] else writes.placed[store]
            writes.done[store + 1 :] = UNKNOWN
            writes.start[store + 1 :] = UNKNOWN
            return False
    return True


@kernel
def read_bursts(
    geometry: Geometry,
    lengths: npt.NDArray[np.int64],
    first: int,
    last: int,
    start: int,
    channel: npt.NDArray[np.int64],
    writes: Writes,
) -> tuple[int, int]:
    """Time bursts ``first`` to ``last`` - 1 of a LOAD that starts at ``start``, at least one.

    Bursts are numbered over the whole run. ``channel`` [1 + bursts] holds the last address cycle, then
    each burst's end. Returns the last address cycle and the last end.
    """
    for burst in range(first, last):
        address = start
        if burst > 0:
            address = max(address, channel[0] + 1)
        if burst >= geometry.outstanding:
            address = max(address, channel[1 + burst - geometry.outstanding])
        data = address + geometry.dram_latency
        if geometry.dram_shared:
            _place_writes(geometry, writes, address)
            data = max(data, writes.line[END] + geometry.burst_gap)
        elif burst > 0:
            data = max(data, channel[burst] + geometry.burst_gap)
        channel[0] = address
        channel[1 + burst] = data + burst_cycles(geometry, lengths[burst])
        if geometry.dram_shared:
            writes.line[END] = channel[1 + burst]
    return channel[0], channel[last]
