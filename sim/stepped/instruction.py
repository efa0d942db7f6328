"""One instruction on its way through the machine, and the sizes that its tables leave of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import COORDINATE_BITS, COORDINATE_MASK
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import FORMATS, NO_TABLE, OPERAND_COLUMN, WAITS, Only, Opcode, Stationary, Unit
from gatewright.sim.stepped.memories.tables import Tables


class Instruction:
    """A decoded instruction with the cycles of its trace record; ``row`` is its number in the program."""

    __slots__ = ("dispatch", "done", "fields", "opcode", "row", "run", "start", "unit", "waits")

    def __init__(self, row: int, code: npt.NDArray[np.int64]) -> None:
        self.row = row
        self.opcode = Opcode(int(code[0]))
        form = FORMATS[self.opcode]
        self.unit = form.unit
        pairs = [(Unit(int(code[1 + 2 * w])), int(code[2 + 2 * w])) for w in range(WAITS)]
        self.waits = [(unit, count) for unit, count in pairs if unit != Unit.NONE]
        self.fields = {f.name: int(code[OPERAND_COLUMN + i]) for i, f in enumerate(form.fields)}
        self.dispatch = self.start = self.run = self.done = -1

    def __getitem__(self, name: str) -> int:
        return self.fields[name]

    def __str__(self) -> str:
        return f"instruction {self.row} ({self.opcode.name})"


@dataclass(frozen=True)
class Work:
    """The effective sizes of a MATMUL or an EPILOGUE: section 3 of the machine's page."""

    pixels: int
    filters: int
    reduction: int
    slices: int

    def vectors(self, stationary: int) -> tuple[int, int]:
        """(stationary vectors, streamed vectors)."""
        pair = (self.filters, self.pixels)
        return pair if stationary == Stationary.FILTERS else (pair[1], pair[0])


def _clamp(value: int, high: int) -> int:
    return max(0, min(value, high))


def effective_tiles(instruction: Instruction, tables: Tables) -> int:
    """Tiles that an instruction works on, now."""
    if instruction["tile_table"] == NO_TABLE:
        return instruction["tile_count"]
    return _clamp(tables.count(instruction["tile_table"]) - instruction["first_tile"], instruction["tile_count"])


def effective_channels(instruction: Instruction, tables: Tables) -> int:
    """Channels stored per pixel of the input, now."""
    table = instruction["channel_table"]
    return instruction["channels"] if table == NO_TABLE else tables.count(table)


def has_filters(gather: Instruction, tables: Tables) -> bool:
    """Whether there are filters that a GATHER's vectors are for, now."""
    table = gather["filter_table"]
    return table == NO_TABLE or tables.count(table) > gather["first_filter"]


def effective_work(instruction: Instruction, tables: Tables, rows: int) -> Work:
    """Pixels, filters, reduction length and slices of ``rows``, now; an EPILOGUE has no reduction."""
    if instruction["only"] > max(Only):
        raise GatewrightError(f"{instruction}: only is 0 to {max(Only):d}")
    chunk = effective_tiles(instruction, tables) * instruction["tile"] ** 2
    pixels = _clamp(chunk - instruction["first_pixel"], instruction["pixel_count"])
    filters = instruction["filter_count"]
    if instruction["filter_table"] != NO_TABLE:
        filters = _clamp(tables.count(instruction["filter_table"]) - instruction["first_filter"], filters)
    complete = filters == instruction["filter_count"]
    if instruction["only"] == (Only.FEWER if complete else Only.ALL):
        filters = 0
    if instruction.opcode != Opcode.MATMUL:
        return Work(pixels, filters, 0, 0)
    reduction = instruction["taps"] * effective_channels(instruction, tables)
    whole = max(1, -(-reduction // rows))
    return Work(pixels, filters, reduction, _clamp(whole - instruction["first_slice"], instruction["slice_count"]))


def filter_number(instruction: Instruction, tables: Tables, position: int) -> int:
    """The filter at a position of an instruction's list: the table's entry, or counted from the first."""
    at = instruction["first_filter"] + position
    return at if instruction["filter_table"] == NO_TABLE else tables.read(instruction["filter_table"], at, instruction)


def tile_position(instruction: Instruction, tables: Tables, number: int) -> tuple[int, int]:
    """(y, x), in tiles, of tile ``number`` of an instruction's chunk."""
    at = instruction["first_tile"] + number
    if instruction["tile_table"] != NO_TABLE:
        entry = tables.read(instruction["tile_table"], at, instruction)
        return entry >> COORDINATE_BITS, entry & COORDINATE_MASK
    return divmod(at, max(1, -(-instruction["out_width"] // instruction["tile"])))
