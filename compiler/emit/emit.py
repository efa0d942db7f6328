"""Emission: rows of the decoded table, and the waits that make them correct.

The emitter knows what every instruction reads and writes (``Access``) and derives its waits: it
must follow the last writers of what it reads, and the last writers and readers of what it writes.
A wait that another one implies is dropped, by vector clocks, so that three are enough. The emitter
also lays the program out in instruction pages, each of which loads the next.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.users import UNITS, Users
from gatewright.compiler.plan.allocate import REGION_GRANULE
from gatewright.contract.arch import ACCUMULATOR_BANKS, BEAT_BYTES, INSTRUCTION_BYTES, MASKS, ArchConfig
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.isa import COLUMNS, COUNT_BITS, FORMATS, NO_MASK, NO_TABLE, WAITS, Opcode, Space, Unit, column

CONTROL_LAYERS = START, NEXT_PAGE, END = "start", "next page", "end"
"""What answers for the instructions of no layer."""

FIRST_PAGE = 32
"""Instructions of page 0: small, because nothing runs before it has arrived."""

PAGE = 64
"""Instructions of the other pages, if half the memory holds them: more would hold up the filters behind them."""

_OVERLAPPING = (Unit.LOAD, Unit.ARRAY)
"""Units that may begin an instruction before the one before it is complete."""

_FIELD_COLUMNS = {
    opcode: {field.name: column(opcode, field.name) for field in FORMATS[opcode].fields} for opcode in Opcode
}
_TABLE_FIELDS = {
    opcode: [column(opcode, f.name) for f in FORMATS[opcode].fields if f.name.endswith("_table")] for opcode in Opcode
}
_MASK_FIELDS = {Opcode.GATHER: [column(Opcode.GATHER, "source_mask")]}

Clock = list[int]


class Access(NamedTuple):
    """A half-open range of a memory that an instruction reads or writes.

    ``early`` marks what it reads before its waits are looked at (the epilogue's parameters).
    """

    memory: str
    low: int
    high: int
    write: bool = False
    early: bool = False


PORT_B = Access("port B", 0, 1, write=True)
"""The use of the scratchpad's port B, which has no arbiter: its users follow one another."""


TABLE_PORT = Access("table port", 0, 1, write=True)
"""The use of the tables' write port, which has no arbiter either."""


FILTERS_IN_DRAM = "filters in DRAM", 0, 1
"""Filters that the program makes: who loads them follows who stored them."""


def reads(memory: str, low: int, high: int) -> Access:
    """A read of [low, high)."""
    return Access(memory, low, high)


def writes(memory: str, low: int, high: int) -> Access:
    """A write of [low, high)."""
    return Access(memory, low, high, write=True)


class Emitter:
    """Collects the instructions of one program."""

    def __init__(self, arch: ArchConfig) -> None:
        self.arch = arch
        self.rows: list[array[int]] = []
        self.layers: list[str] = []
        self.layer = START
        self.page_starts = [0]
        self.counts = [0] * UNITS
        self._users = Users(
            {
                "scratchpad": (arch.scratchpad_bytes, BEAT_BYTES),
                "patch": (arch.patch_words, REGION_UNIT),
                "weight": (arch.weight_words, REGION_GRANULE),
                "parameter": (arch.parameter_entries, 1),
                "accumulator": (ACCUMULATOR_BANKS, 1),
                "table": (NO_TABLE, 1),
                "mask": (MASKS, 1),
                "port B": (1, 1),
                "table port": (1, 1),
                "filters in DRAM": (1, 1),
            }
        )
        self._start_clock: list[Clock] = [[0] * UNITS for _ in range(UNITS)]
        self._done_clock: list[list[Clock]] = [[[0] * UNITS] for _ in range(UNITS)]
        self.before_writes: Callable[[Sequence[Access]], None] = lambda accesses: None
        """Called before every instruction with what it reads and writes: others may have to come first."""
        self._page_size = FIRST_PAGE
        self._page_load: int | None = None
        self._page_load_count = 0

    def emit(self, opcode: Opcode, accesses: list[Access], **values: int) -> int:
        """Append an instruction with the waits that its accesses need; return its row.

        Fields that are not given are 0, tables and masks that are not given are none. Instruction
        pages are begun where needed.
        """
        self.before_writes(accesses)
        self._turn_page_if_full()
        unit = FORMATS[opcode].unit
        spans = self._users.spans(accesses)
        needed = self._users.before(spans)
        # A unit's own order suffices, but for a LOAD that picks rows by a table that a LOAD brings.
        if unit != Unit.LOAD or not any(a.memory == "table" and not a.write for a in accesses):
            needed[unit] = 0
        base = self._base_clock(unit)
        if unit == Unit.EPILOGUE:
            early = self._users.before(self._users.spans([a for a in accesses if a.early]))
            early[unit] = 0
            if any(n > b for n, b in zip(early, base, strict=True)):
                self._guard(early)
                base = self._base_clock(unit)
        waits = self._prune(needed, base)
        while len(waits) > WAITS:
            self._wait_before(opcode, waits[:WAITS], base)
            base = self._base_clock(unit)
            waits = self._prune(needed, base)
        row = self._append(opcode, waits, values)
        self._complete(unit, waits, base)
        self._users.record(spans, unit, self.counts[unit])
        return row

    def exit_if_listed(self, table: int) -> int:
        """Append an EXIT that ends the image if a table has any entry; return its row."""
        self._turn_page_if_full()
        needed = self._users.before(self._users.spans([reads("table", table, table + 1)]))
        waits = self._prune(needed, [0] * UNITS)
        row = self._append(Opcode.EXIT, waits, {"count_table": table})
        for unit, count in waits:
            self._all_behind(self._done_clock[unit][count])
        return row

    def load_next_page(self) -> None:
        """Emit the LOAD of the page after this one; its size is filled in when that page is known."""
        if self._page_load is None:
            number = len(self.page_starts)
            entry = (number % 2) * self.arch.page_instructions
            self._page_load = self.emit(
                Opcode.LOAD, [], space=Space.INSTRUCTIONS, address=entry, rows=1, row_table=NO_TABLE
            )
            self._page_load_count = self.counts[Unit.LOAD]

    def finish(self, code_address: int) -> npt.NDArray[np.int64]:
        """Append END, fill in the pages' addresses and sizes, and return the decoded table."""
        self.layer = END
        self._append(Opcode.END, [], {})
        code = np.frombuffer(b"".join(self.rows), np.int64).reshape(-1, COLUMNS).copy()
        ends = [*self.page_starts[1:], len(code)]
        address, rows_, beats = (_FIELD_COLUMNS[Opcode.LOAD][n] for n in ("dram_address", "rows", "row_beats"))
        is_page = (code[:, 0] == Opcode.LOAD) & (code[:, _FIELD_COLUMNS[Opcode.LOAD]["space"]] == Space.INSTRUCTIONS)
        for number, row in enumerate(np.flatnonzero(is_page), start=1):
            if number < len(self.page_starts):
                code[row, address] = code_address + self.page_starts[number] * INSTRUCTION_BYTES
                code[row, beats] = (ends[number] - self.page_starts[number]) * INSTRUCTION_BYTES // BEAT_BYTES
            else:
                code[row, rows_] = 0
        return code

    def _all_behind(self, clock: Clock) -> None:
        """Whatever is dispatched from here on begins behind what the clock says."""
        self._start_clock = [[max(pair) for pair in zip(one, clock, strict=True)] for one in self._start_clock]

    def _append(self, opcode: Opcode, waits: list[tuple[int, int]], values: dict[str, int]) -> int:
        row = [0] * COLUMNS
        row[0] = opcode
        for index, (unit, count) in enumerate(waits):
            row[1 + 2 * index] = unit
            row[2 + 2 * index] = count & ((1 << COUNT_BITS) - 1)
        for where in _TABLE_FIELDS[opcode]:
            row[where] = NO_TABLE
        for where in _MASK_FIELDS.get(opcode, ()):
            row[where] = NO_MASK
        columns = _FIELD_COLUMNS[opcode]
        for name, value in values.items():
            row[columns[name]] = int(value)
        self.rows.append(array("q", row))
        self.layers.append(self.layer)
        return len(self.rows) - 1

    def _base_clock(self, unit: Unit) -> Clock:
        """What is certainly complete when the unit begins its next instruction."""
        base = self._start_clock[unit]
        if unit not in _OVERLAPPING:
            base = [max(a, b) for a, b in zip(base, self._done_clock[unit][-1], strict=True)]
        return base

    def _prune(self, needed: Clock, base: Clock) -> list[tuple[int, int]]:
        wanted = [(unit, count) for unit, count in enumerate(needed) if count > base[unit]]
        kept = [
            (unit, count)
            for unit, count in wanted
            if not any(other != unit and self._done_clock[other][n][unit] >= count for other, n in wanted)
        ]
        return kept

    def _complete(self, unit: Unit, waits: list[tuple[int, int]], base: Clock) -> None:
        start = list(base)
        for other, count in waits:
            start = [max(a, b) for a, b in zip(start, self._done_clock[other][count], strict=True)]
        self._start_clock[unit] = start
        self.counts[unit] += 1
        done = [max(a, b) for a, b in zip(start, self._done_clock[unit][-1], strict=True)]
        done[unit] = self.counts[unit]
        self._done_clock[unit].append(done)

    def _wait_before(self, opcode: Opcode, waits: list[tuple[int, int]], base: Clock) -> None:
        """An instruction of a kind without work that waits, for one that has more to wait for than the ISA has room."""
        self._append(opcode, waits, {"tile": 1})
        self._complete(FORMATS[opcode].unit, waits, base)
        self._turn_page_if_full()

    def _guard(self, early: Clock) -> None:
        """An empty EPILOGUE that waits for what the next one reads before its own waits."""
        base = self._base_clock(Unit.EPILOGUE)
        self._wait_before(Opcode.EPILOGUE, self._prune(early, base), base)

    def _turn_page_if_full(self) -> None:
        """Close the page two rows early: room for the load of the next page and for NEXT."""
        used = len(self.rows) - self.page_starts[-1]
        if used == self._page_size - 2 and self._page_load is None:
            self._page_size += 1  # let load_next_page emit without coming back here
            self.load_next_page()
            self._page_size -= 1
            used += 1
        if used < self._page_size - 1:
            return
        assert self._page_load is not None
        entry = (len(self.page_starts) % 2) * self.arch.page_instructions
        layer, self.layer = self.layer, NEXT_PAGE
        self._append(Opcode.NEXT, [(int(Unit.LOAD), self._page_load_count)], {"entry": entry})
        self.layer = layer
        # What is dispatched from here on comes behind the page's LOAD, and so behind all that this one was behind.
        self._all_behind(self._done_clock[Unit.LOAD][self._page_load_count])
        self.page_starts.append(len(self.rows))
        self._page_load = None
        self._page_size = min(PAGE, self.arch.page_instructions)
        self.load_next_page()
