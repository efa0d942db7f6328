"""Emission: rows of the decoded table, and the waits that make them correct.

The emitter knows what every instruction reads and writes (``Access``) and derives its waits: it
must follow the last writers of what it reads, and the last writers and readers of what it writes.
A wait that another one implies is dropped (``Clocks``), so that three are enough. The emitter
also lays the program out in instruction pages, each of which loads the next.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.access import Access, reads
from gatewright.compiler.emit.clocks import Clock, Clocks, Wait
from gatewright.compiler.emit.users import Users
from gatewright.compiler.plan.operand_ring import REGION_GRANULE
from gatewright.contract.arch import ACCUMULATOR_BANKS, BEAT_BYTES, INSTRUCTION_BYTES, MASKS, ArchConfig
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.isa import COLUMNS, COUNT_BITS, FORMATS, NO_MASK, NO_TABLE, WAITS, Opcode, Space, Unit, column

CONTROL_LAYERS = START, NEXT_PAGE, END = "start", "next page", "end"
"""What answers for the instructions of no layer."""

FIRST_PAGE = 32
"""Instructions of page 0: small, because nothing runs before it has arrived."""

PAGE = 64
"""Instructions of the other pages, if half the memory holds them: more would hold up the filters behind them."""

_LEFT_OUT = (Opcode.GATHER, Opcode.MATMUL, Opcode.EPILOGUE)
"""What a table without entries leaves without work: what is loaded and stored beside may be others'."""

_FIELD_COLUMNS = {
    opcode: {field.name: column(opcode, field.name) for field in FORMATS[opcode].fields} for opcode in Opcode
}
_TABLE_FIELDS = {
    opcode: [column(opcode, f.name) for f in FORMATS[opcode].fields if f.name.endswith("_table")] for opcode in Opcode
}
_MASK_FIELDS = {Opcode.GATHER: [column(Opcode.GATHER, "source_mask")]}


class Emitter:
    """Collects the instructions of one program."""

    def __init__(self, arch: ArchConfig, pages_ahead: int = 1) -> None:
        self.arch = arch
        self.rows: list[array[int]] = []
        self.layers: list[str] = []
        self.layer = START
        self.page_starts = [0]
        self._clocks = Clocks()
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
        self.before_writes: Callable[[Sequence[Access]], None] = lambda accesses: None
        """Called before every instruction with what it reads and writes: others may have to come first."""
        self._only_with: int | None = None
        self._skip = -1
        self._skips_without: int | None = None
        self._page_size = FIRST_PAGE
        self._pages = arch.instruction_entries // self._whole_page
        self._pages_ahead = min(pages_ahead, self._pages - 1)
        self._page_loads = [0]
        """Of each page that has been asked for: the count that its LOAD's completion makes."""

    def emit(self, opcode: Opcode, accesses: list[Access], **values: int) -> int:
        """Append an instruction with the waits that its accesses need; return its row.

        Fields that are not given are 0, tables and masks that are not given are none. Instruction
        pages are begun where needed.
        """
        self.before_writes(accesses)
        self._turn_page_if_full()
        self._turn_skip(opcode)
        unit = FORMATS[opcode].unit
        spans = self._users.spans(accesses)
        needed = self._users.before(spans)
        # A unit's own order suffices, but for a LOAD that picks rows by a table that a LOAD brings.
        if unit != Unit.LOAD or not any(a.memory == "table" and not a.write for a in accesses):
            needed[unit] = 0
        base = self._clocks.base(unit)
        if unit == Unit.EPILOGUE:
            early = self._users.before(self._users.spans([a for a in accesses if a.early]))
            early[unit] = 0
            if any(n > b for n, b in zip(early, base, strict=True)):
                self._guard(early)
                base = self._clocks.base(unit)
        waits = self._clocks.waits(needed, base)
        while len(waits) > WAITS:
            self._wait_before(opcode, waits[:WAITS], base)
            base = self._clocks.base(unit)
            waits = self._clocks.waits(needed, base)
        row = self._append(opcode, waits, values)
        self._clocks.complete(unit, waits, base)
        self._users.record(spans, unit, self._clocks.counts[unit])
        return row

    @property
    def _whole_page(self) -> int:
        """Instructions of a page, but for the first and the last."""
        return min(PAGE, self.arch.page_instructions)

    def begin_region(self, memory: str, low: int, high: int) -> None:
        """Somebody takes addresses [low, high) of a memory whose regions come and go: for who keeps a record."""

    def exit_if_listed(self, table: int) -> int:
        """Append an EXIT that ends the image if a table has any entry; return its row."""
        self._turn_page_if_full()
        self._end_skip()
        return self._decide_by(Opcode.EXIT, table)

    def _decide_by(self, opcode: Opcode, table: int) -> int:
        """Append an instruction of the sequencer that looks at a table's count."""
        needed = self._users.before(self._users.spans([reads("table", table, table + 1)]))
        waits = self._clocks.waits(needed, self._clocks.dispatched)
        row = self._append(opcode, waits, {"count_table": table})
        self._clocks.dispatch_behind(waits)
        return row

    def load_next_page(self) -> None:
        """Emit the LOAD of the page after this one, if it has not been; its size is filled in when that is known."""
        if len(self._page_loads) == len(self.page_starts):
            self._load_page()

    def _load_page(self) -> None:
        """Emit the LOAD of the next page that has not been asked for."""
        entry = len(self._page_loads) % self._pages * self._whole_page
        base = self._clocks.base(Unit.LOAD)
        fields = {"space": int(Space.INSTRUCTIONS), "address": entry, "rows": 1, "row_table": NO_TABLE}
        self._append(Opcode.LOAD, [], fields)
        self._clocks.complete(Unit.LOAD, [], base)
        self._page_loads.append(self._clocks.counts[Unit.LOAD])

    def finish(self, code_address: int) -> npt.NDArray[np.int64]:
        """Append END, fill in the pages' addresses and sizes, and return the decoded table."""
        self.layer = END
        self._end_skip()
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

    def _append(self, opcode: Opcode, waits: list[Wait], values: dict[str, int]) -> int:
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

    def _wait_before(self, opcode: Opcode, waits: list[Wait], base: Clock) -> None:
        """An instruction of a kind without work that waits, for one that has more to wait for than the ISA has room."""
        self._append(opcode, waits, {"tile": 1})
        self._clocks.complete(FORMATS[opcode].unit, waits, base)
        self._turn_page_if_full()

    def _guard(self, early: Clock) -> None:
        """An empty EPILOGUE that waits for what the next one reads before its own waits."""
        base = self._clocks.base(Unit.EPILOGUE)
        self._wait_before(Opcode.EPILOGUE, self._clocks.waits(early, base), base)

    @contextmanager
    def left_out_without(self, table: int | None) -> Iterator[None]:
        """Of what is emitted within, GATHERs, MATMULs and EPILOGUEs have no work if a table has no entries.

        They are left out then, by a SKIP in front of them.
        """
        before, self._only_with = self._only_with, table
        yield
        self._only_with = before

    def before_skip(self) -> AbstractContextManager[None]:
        """What is emitted within may be left out only if what was emitted last is: no SKIP comes in front of it."""
        return self.left_out_without(self._skips_without if self._skips_without == self._only_with else None)

    def _turn_skip(self, opcode: Opcode) -> None:
        """End the range of a SKIP if what comes next must run, and begin one if that may be left out."""
        table = self._only_with if opcode in _LEFT_OUT else None
        if table == self._skips_without:
            return
        self._end_skip()
        if table is not None:
            self._skip = self._decide_by(Opcode.SKIP, table)
            self._turn_page_if_full()
        self._skips_without = table

    def _end_skip(self) -> None:
        """Fill in how many instructions the last SKIP may leave out: all behind it."""
        if self._skips_without is not None:
            place = _FIELD_COLUMNS[Opcode.SKIP]["instructions"]
            self.rows[self._skip][place] = len(self.rows) - self._skip - 1
        self._skips_without = None

    def _turn_page_if_full(self) -> None:
        """Close the page two rows early: room for the load of the next page and for NEXT."""
        used = len(self.rows) - self.page_starts[-1]
        if used == self._page_size - 2:
            self.load_next_page()
            used = len(self.rows) - self.page_starts[-1]
        if used < self._page_size - 1:
            return
        page = len(self.page_starts)
        entry = page % self._pages * self._whole_page
        layer, self.layer = self.layer, NEXT_PAGE
        self._append(Opcode.NEXT, [(int(Unit.LOAD), self._page_loads[page])], {"entry": entry})
        self.layer = layer
        # What is dispatched from here on comes behind the page's LOAD, and so behind all that this one was behind.
        self._clocks.dispatch_behind([(int(Unit.LOAD), self._page_loads[page])])
        self.page_starts.append(len(self.rows))
        self._page_size = self._whole_page
        while len(self._page_loads) <= page + self._pages_ahead:
            self._load_page()
