"""Random LOADs, and what the stepped simulator's unit does with them, event by event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import NO_TABLE, Opcode, Space, Unit
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.load.unit import LoadUnit
from gatewright.sim.stepped.state import Shared
from gatewright.verify.kit import programs

IMAGE_BYTES = 1 << 18
"""DRAM repeats itself above, for rows whose numbers are any 16 bits."""

INITIAL_TABLES = 3
"""Tables that hold row numbers from the start."""

Event = tuple[Any, ...]


@dataclass
class Load:
    """A LOAD, dispatched in cycle ``push`` at the earliest; it may begin from ``release`` on, behind load ``after``."""

    fields: dict[str, int]
    push: int = 0
    release: int = 0
    after: int = -1

    def instruction(self, row: int) -> Instruction:
        return Instruction(row, programs.row(Opcode.LOAD, **self.fields))


@dataclass
class Case:
    """Loads, the bytes of DRAM, the tables' first contents and the boot load (address, beats), if any."""

    arch: ArchConfig
    image: npt.NDArray[np.uint8]
    loads: list[Load]
    tables: list[list[int]]
    boot: tuple[int, int] | None

    def beat(self, address: int) -> npt.NDArray[np.uint8]:
        """The 16 bytes at an address."""
        at = address % len(self.image)
        return self.image[at : at + 16]


@dataclass
class Events:
    """What a unit did. Cycles of writes are those of the memory's write; a weight write names its physical bytes."""

    starts: list[int] = field(default_factory=list)
    retires: list[int] = field(default_factory=list)
    addresses: list[tuple[int, int, int]] = field(default_factory=list)
    """(cycle a, byte address, beats)"""
    writes: list[Event] = field(default_factory=list)
    """(cycle, memory, ...)"""
    boot_done: int = -1


def random_case(rng: np.random.Generator, arch: ArchConfig, count: int) -> Case:
    """``count`` loads of all kinds, with bursts at page ends, row tables, and loads without rows."""
    tables = [sorted(rng.choice(200, int(rng.integers(0, 12)), replace=False).tolist()) for _ in range(INITIAL_TABLES)]
    tables += [[] for _ in range(arch.tables - INITIAL_TABLES)]
    boot = (_address(rng), 3 * int(rng.integers(1, 40))) if rng.integers(2) else None
    loads: list[Load] = []
    writer = dict.fromkeys(range(arch.tables), -1)
    reader = dict.fromkeys(range(arch.tables), -1)
    latest_table = -1
    cycle = 2000 if boot else 0
    for number in range(count):
        load = Load(_random_fields(rng, arch))
        fields = load.fields
        cycle += int(rng.choice([1, 1, 1, 3, 200]))
        load.push, load.release = cycle, cycle + int(rng.choice([0, 0, 20, 300]))
        if fields["row_table"] != NO_TABLE:
            load.after = writer[fields["row_table"]]
            reader[fields["row_table"]] = number
        if fields["space"] == Space.TABLE:
            load.after = max(load.after, reader[fields["address"]], latest_table)
            writer[fields["address"]] = latest_table = number
        loads.append(load)
    return Case(arch, rng.integers(0, 256, IMAGE_BYTES, np.uint8), loads, tables, boot)


def _address(rng: np.random.Generator) -> int:
    """A multiple of 16, often just below a multiple of 4096."""
    page = int(rng.integers(1, 8)) * 4096
    return page + 16 * int(rng.choice([-3, -2, -1, 0, 1, int(rng.integers(0, 256))]))


def _random_fields(rng: np.random.Generator, arch: ArchConfig) -> dict[str, int]:
    def upto(high: int) -> int:
        return int(rng.integers(1, high + 1))

    space = Space(int(rng.integers(len(Space))))
    fields = {
        "space": int(space),
        "dram_address": _address(rng),
        "row_stride": 16 * int(rng.integers(0, 40 if rng.integers(3) else 1 << 16)),
        "row_table": NO_TABLE,
        "rows": upto(12),
        "row_beats": upto(6),
        "vectors": 4 * upto(8),
        "taps": upto(9),
        "count": 0,
        "address": 0,
    }
    if rng.integers(3) == 0:
        fields["row_table"] = int(rng.integers(INITIAL_TABLES if rng.integers(2) else arch.tables))
    fields["first_row"] = _first_row(rng, fields["row_table"] != NO_TABLE)
    if rng.integers(8) == 0:
        fields["rows" if rng.integers(2) else "row_beats"] = 0
    if space == Space.SCRATCHPAD:
        if rng.integers(4) == 0:
            fields |= {"rows": 1, "row_beats": 250 + upto(300)}
        fields["address"] = int(rng.integers(arch.scratchpad_bytes - 16 * 600))
    elif space == Space.WEIGHTS_BY_VECTOR:
        fields["count"] = int(rng.integers(0, 12))
        fields["vectors"] = 4 * (3 + upto(6))
        fields["row_beats"] = -(-fields["count"] // arch.slices_per_beat) + int(rng.integers(2))
        fields["address"] = int(rng.integers(arch.weight_words // 4 - 12 * 9))
    elif space == Space.WEIGHTS_BY_REDUCTION:
        fields["rows"] = int(rng.integers(1, 40))
        extra = int(rng.integers(5) == 0)
        fields["row_beats"] = -(-fields["vectors"] // 16) * fields["taps"] + extra
        words = -(-fields["rows"] * fields["taps"] // arch.rows) * fields["vectors"]
        fields["address"] = int(rng.integers(arch.weight_words // 4 - words // 4))
    elif space == Space.PARAMETERS:
        fields["address"] = int(rng.integers(arch.parameter_entries - 2 * 12 * 6))
        fields["row_beats"] = min(fields["row_beats"], 4)
    elif space == Space.TABLE:
        fields["address"] = int(rng.integers(INITIAL_TABLES, arch.tables))
        entries = 8 * fields["rows"] * fields["row_beats"]
        fields["count"] = int(rng.integers(0, min(entries, arch.table_entries) + 1))
        if fields["row_table"] != NO_TABLE:
            # Not the table that it writes.
            fields["row_table"] %= INITIAL_TABLES
            fields["count"] = min(fields["count"], 8 * fields["row_beats"])
    else:
        fields["address"] = int(rng.integers(max(1, arch.instruction_entries - 60)))
        fields["rows"] = min(fields["rows"], 8)
    return fields


def _first_row(rng: np.random.Generator, listed: bool) -> int:
    """With a table often a position near the list's end, or behind it; the largest number there is now and then."""
    if rng.integers(2):
        return 0
    if rng.integers(8) == 0:
        return (1 << 14) - 1 - int(rng.integers(2))
    return int(rng.integers(14 if listed else 1000))


def physical_bytes(
    arch: ArchConfig, load: Instruction, words: npt.NDArray[np.int64], lanes: npt.NDArray[np.int64], data: Any
) -> list[tuple[int, int, int, int]]:
    """(bank, physical lane, address, byte) of logical bytes of the weight buffer, sorted."""
    slices, vectors = np.divmod(words - 4 * load["address"], load["vectors"])
    banks = (vectors + slices) % 4
    turned = (lanes + vectors // 4) % arch.rows
    values = data.view(np.uint8)
    rows = np.stack([banks, turned, words // 4, values.astype(np.int64)], axis=1)
    return sorted(map(tuple, rows.tolist()))


class Twin:
    """The stepped simulator's LOAD on its own, with everything that it does written down."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.shared = Shared(case.arch, case.image, None)
        self.unit = LoadUnit(self.shared)
        self.events = Events()
        self._instructions = [load.instruction(row) for row, load in enumerate(case.loads)]
        self._done: dict[int, int] = {}
        for table, entries in enumerate(case.tables):
            for position, entry in enumerate(entries):
                self.shared.tables._set_entry(table, position, entry)
            self.shared.tables._counts[table] = len(entries)
        self.shared.completions.met = self._met  # type: ignore[method-assign]
        self.shared.completions.retire = self._retire  # type: ignore[method-assign]
        send = self.unit._send
        self.unit._send = lambda: self._send(send)  # type: ignore[method-assign]
        self._watch()

    @property
    def cycle(self) -> int:
        return self.shared.clock.cycle

    def _met(self, instruction: Instruction) -> bool:
        load = self._case.loads[instruction.row]
        done = load.after < 0 or self._done.get(load.after, self.cycle + 1) <= self.cycle
        return done and self.cycle >= load.release

    def _retire(self, instruction: Instruction) -> None:
        self._done[instruction.row] = self.cycle + 1
        self.events.retires.append(self.cycle)

    def _send(self, send: Callable[[], None]) -> None:
        burst = self.unit._next
        assert burst is not None
        self.events.addresses.append((self.cycle, burst.address % (1 << 32), burst.beats))
        send()

    def _watch(self) -> None:
        shared, write = self.shared, self._written

        def scratchpad(address: int, data: Any, user: Instruction) -> None:
            write("scratchpad", address, data.tobytes())

        def weights(words: Any, lanes: Any, data: Any, user: Instruction) -> None:
            if len(words):
                write("weights", physical_bytes(self._case.arch, user, words, lanes, data))

        def parameters(entry: int, data: Any, user: Instruction) -> None:
            write("parameters", entry, data.tobytes())

        def instructions(byte: int, data: Any, user: Instruction) -> None:
            write("instructions", byte // 48, byte // 16 % 3, data.tobytes())

        shared.dram.read = lambda address, count, user: self._case.beat(address).copy()  # type: ignore[method-assign]
        shared.scratchpad.write_b = scratchpad  # type: ignore[method-assign]
        shared.weights.write = weights  # type: ignore[method-assign]
        shared.parameters.write = parameters  # type: ignore[method-assign]
        shared.instructions.write = instructions  # type: ignore[method-assign]
        table_write, set_count = shared.tables.write, shared.tables.set_count

        def table(number: int, position: int, value: int, user: Instruction) -> None:
            write("entry", number, position, value)
            table_write(number, position, value, user)

        def count(number: int, value: int, user: Instruction) -> None:
            write("count", number, value)
            set_count(number, value, user)

        shared.tables.write = table  # type: ignore[method-assign]
        shared.tables.set_count = count  # type: ignore[method-assign]

    def _written(self, *what: Any) -> None:
        self.events.writes.append((self.cycle, *what))

    def run(self) -> Events:
        """Until every load has completed."""
        case, queue = self._case, self.shared.queues[Unit.LOAD]
        if case.boot is not None:
            address, beats = case.boot
            fields = {"dram_address": address, "space": int(Space.INSTRUCTIONS), "rows": 1, "row_beats": beats}
            self.unit.boot(Load({**fields, "row_table": NO_TABLE}).instruction(-1))
        given = 0
        while len(self.events.retires) < len(case.loads):
            assert self.cycle < 1_000_000, "the simulator's loads do not end"
            if given < len(case.loads) and not queue.full and self.cycle >= case.loads[given].push:
                queue.push(self._instructions[given])
                given += 1
            self.unit.step()
            if self.unit.boot_done and self.events.boot_done < 0:
                self.events.boot_done = self.cycle
            self.shared.clock.tick()
        self.events.starts = [instruction.start for instruction in self._instructions]
        return self.events
