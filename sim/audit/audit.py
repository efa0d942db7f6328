"""The audit: does a finished run owe its values to luck?

The simulator computes values in program order. A machine computes them in the order of the cycles.
The audit checks, with the cycles of the run, that the two cannot differ: what an instruction reads
was complete when it began, what it overwrites was no longer needed, and units that share a port or
an accumulator bank without an arbiter never use it at once. And it checks without the cycles, by the waits alone
(``order``), that no other memory's timing could make a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ACCUMULATOR_BANKS, BEAT_BYTES, MASK_BITS
from gatewright.contract.encodings import MASK_WORD_BITS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import UNITS, Opcode, Unit
from gatewright.sim.audit import order
from gatewright.sim.audit.accesses import accesses
from gatewright.sim.audit.accumulators import quick_accumulations
from gatewright.sim.fast import load, work
from gatewright.sim.fast.context import UNIT_ARRAY, UNIT_SEQUENCER
from gatewright.sim.fast.kernels import entry, sources_fingerprint
from gatewright.sim.fast.sequencer import DISPATCH, DONE, RUN, START, UNIT
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import (
    EARLY_READ,
    FIRST_BANK,
    PORT_B,
    READ,
    TABLE_WRITE,
    WRITE,
    nothing_touched,
    places,
)

_READ_TOO_EARLY, _OVERWRITTEN, _WRITE_ORDER = 1, 2, 3


class Auditor:
    """Collects what each instruction touched, then checks it against the trace."""

    def __init__(self, geometry: Geometry, state: State) -> None:
        self._geometry, self._state = geometry, state
        self._places = places(geometry, state)
        self._touched = nothing_touched(self._places)
        self._locations: list[npt.NDArray[np.int64]] = []
        self._uses: list[npt.NDArray[np.uint8]] = []
        self._ports: list[int] = []

    def record(self, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64], fetched_from: int) -> None:
        """Note what an instruction touched. Call right after its execution; ``done`` is its work record."""
        accesses(self._geometry, self._state, self._places, row, done, fetched_from, self._touched)
        listed = self._touched.listed[: self._touched.listed_count[0]].copy()
        self._locations.append(listed)
        self._uses.append(self._touched.use[listed])
        self._ports.append(int(self._touched.ports[0]))

    def check(
        self, executed: npt.NDArray[np.int64], done: npt.NDArray[np.int64], records: npt.NDArray[np.void]
    ) -> None:
        """Raise ``GatewrightError`` naming both instructions of the first race found."""
        trace = np.ascontiguousarray(records).view(np.int64).reshape(len(records), -1)
        ends = np.cumsum([len(listed) for listed in self._locations])
        violation = np.zeros(3, np.int64)
        touched = ends, np.concatenate(self._locations), np.concatenate(self._uses)
        kind = find_race(
            trace,
            *touched,
            self._places.instruction,
            self._places.dram,
            self._places.accumulator,
            self._places.parameter,
            self._places.total,
            violation,
        )
        if kind:
            second, first, location = (int(number) for number in violation)
            where = self._name(location)
            text = {
                _READ_TOO_EARLY: f"reads {where} before it is written",
                _OVERWRITTEN: f"overwrites {where} while it is still read",
                _WRITE_ORDER: f"writes {where} while another unit still writes it",
            }[kind]
            raise _race(executed, trace, first, second, text)
        self._order = order.clocks(executed, trace[:, UNIT])
        self._check_order(executed, trace, touched)
        ports = np.array(self._ports)
        self._check_users(executed, trace, ports & PORT_B, "uses scratchpad port B")
        for bank in range(ACCUMULATOR_BANKS):
            self._check_users(executed, trace, ports & FIRST_BANK << bank, f"uses accumulator bank {bank}")
        _check_exclusive(executed, trace, np.flatnonzero(ports & TABLE_WRITE), "uses the tables' write port")
        _check_table_counts(executed, done, trace)
        for first, second in quick_accumulations(self._geometry, executed, done, trace):
            raise _race(executed, trace, first, second, "adds to an accumulator entry whose last update is under way")

    def _check_order(
        self, executed: npt.NDArray[np.int64], trace: npt.NDArray[np.int64], touched: tuple[npt.NDArray[Any], ...]
    ) -> None:
        """Every read behind its write, every write behind the reads of what it replaces: by waits alone."""
        violation = np.zeros(3, np.int64)
        kind = order.find_unordered(
            trace,
            *self._order,
            *touched,
            self._places.instruction,
            self._places.dram,
            self._places.total,
            violation,
        )
        if kind:
            second, first, location = (int(number) for number in violation)
            raise _unordered(executed, trace, first, second, f"{order.TEXTS[kind]} {self._name(location)}")

    def _check_users(
        self,
        executed: npt.NDArray[np.int64],
        trace: npt.NDArray[np.int64],
        uses: npt.NDArray[np.int64],
        text: str,
    ) -> None:
        """Those with a use of a resource without an arbiter: apart in these cycles, and apart in any."""
        users = np.flatnonzero(uses)
        _check_exclusive(executed, trace, users, text)
        begin, *_, number = self._order
        pair = order.unordered_users(users, trace[:, UNIT], begin, number)
        if pair is not None:
            raise _unordered(executed, trace, pair[1], pair[0], text)

    def _name(self, location: int) -> str:
        memories = list(self._places._asdict().items())[:-1]
        name, first = [(name, first) for name, first in memories if first <= location][-1]
        offset = location - first
        if name == "accumulator":
            depth = self._geometry.accumulator_depth
            return f"accumulator bank {offset // depth} entry {offset % depth}"
        if name in ("scratchpad", "dram"):
            first = BEAT_BYTES * offset
            return f"{'DRAM' if name == 'dram' else name} bytes {first} to {first + BEAT_BYTES - 1}"
        if name == "mask":
            mask, bit = divmod(offset * MASK_WORD_BITS, MASK_BITS)
            return f"mask {mask} bits {bit} to {bit + MASK_WORD_BITS - 1}"
        words = {"patch": "patch buffer word", "weight": "weight buffer word", "instruction": "instruction entry"}
        return f"{words.get(name, name)} {offset}"


def _race(
    executed: npt.NDArray[np.int64], trace: npt.NDArray[np.int64], first: int, second: int, text: str
) -> GatewrightError:
    def told(instruction: int) -> str:
        return f"instruction {instruction} ({Opcode(int(executed[instruction, 0])).name})"

    begun = f"begun in cycle {trace[second, RUN]} (taken in {trace[second, START]})"
    return GatewrightError(
        f"race: {told(second)} {text}, {begun}, by or with {told(first)}, which is done in cycle "
        f"{trace[first, DONE]}; add a wait on {Unit(int(trace[first, UNIT])).name}"
    )


def _unordered(
    executed: npt.NDArray[np.int64], trace: npt.NDArray[np.int64], first: int, second: int, text: str
) -> GatewrightError:
    """No race in these cycles, but nothing rules one out."""
    return GatewrightError(
        f"race by order: instruction {second} ({Opcode(int(executed[second, 0])).name}) {text}, and no wait puts it "
        f"behind instruction {first} ({Opcode(int(executed[first, 0])).name}), which has to be complete; "
        f"add a wait on {Unit(int(trace[first, UNIT])).name}"
    )


def _check_exclusive(
    executed: npt.NDArray[np.int64], trace: npt.NDArray[np.int64], users: npt.NDArray[np.int64], text: str
) -> None:
    """Users of one resource from different units must not overlap in [run, done)."""
    latest: dict[int, int] = {}
    for user in sorted((int(u) for u in users), key=lambda u: int(trace[u, RUN])):
        for unit, other in latest.items():
            if unit != trace[user, UNIT] and trace[other, DONE] > trace[user, RUN]:
                raise _race(executed, trace, other, user, text)
        held = latest.get(int(trace[user, UNIT]))
        if held is None or trace[user, DONE] > trace[held, DONE]:
            latest[int(trace[user, UNIT])] = user


def _check_table_counts(
    executed: npt.NDArray[np.int64], done: npt.NDArray[np.int64], trace: npt.NDArray[np.int64]
) -> None:
    """A LOAD without rows sets its table's count at once, also before older data arrive."""
    loads = (executed[:, 0] == Opcode.LOAD) & (executed[:, load.SPACE] == load.TABLE)
    loading = -1
    for row in np.flatnonzero(loads):
        if done[row, work.BURSTS] > 0:
            loading = int(row)
        elif loading >= 0 and trace[loading, DONE] > trace[row, RUN]:
            raise _race(executed, trace, loading, int(row), "sets a table's count")


def _race_kernel(fingerprint: str) -> Callable[..., int]:
    @entry
    def find_race(
        trace: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        locations: npt.NDArray[np.int64],
        uses: npt.NDArray[np.uint8],
        first_instruction: int,
        first_dram: int,
        first_accumulator: int,
        first_parameter: int,
        total: int,
        violation: npt.NDArray[np.int64],
    ) -> int:
        """The first race's kind, or 0; ``violation`` gets the later and the earlier instruction, and the place."""
        assert fingerprint
        writer = np.full(total, -1, np.int64)
        reader = np.full((total, UNITS), -1, np.int64)
        begin = 0
        for at in range(len(ends)):
            record = trace[at]
            for index in range(begin, ends[at]):
                location, use = locations[index], uses[index]
                unit, cycle = record[UNIT], record[RUN]
                # Tables are read from DECODE_LATENCY cycles before on, and are final as long before they are complete.
                if use & EARLY_READ:
                    cycle = record[START]
                fetched = first_instruction <= location < first_dram and use & READ
                if fetched:
                    unit, cycle = UNIT_SEQUENCER, record[DISPATCH]
                # A sum in flight is what the array's own order and _accumulations take care of.
                summed = unit == UNIT_ARRAY and first_accumulator <= location < first_parameter
                violation[0], violation[2] = at, location
                last = writer[location]
                violation[1] = last
                if use & (READ | EARLY_READ) and last >= 0 and cycle < trace[last, DONE]:
                    in_flight = summed and trace[last, UNIT] == UNIT_ARRAY
                    if not in_flight:
                        return _READ_TOO_EARLY
                if use & WRITE:
                    if last >= 0 and trace[last, UNIT] != record[UNIT] and record[RUN] < trace[last, DONE]:
                        return _WRITE_ORDER
                    for other in range(UNITS):
                        violation[1] = reader[location, other]
                        if violation[1] < 0 or other == record[UNIT]:
                            continue
                        until = trace[violation[1], DISPATCH if other == UNIT_SEQUENCER else DONE]
                        if record[RUN] < until:
                            return _OVERWRITTEN
                    writer[location] = at
                    reader[location] = -1
                if use & (READ | EARLY_READ):
                    reader[location, unit] = at
            begin = ends[at]
        return 0

    return find_race


find_race = _race_kernel(sources_fingerprint(audit=True))
