"""What is counted, and what every opcode's count needs: an instruction's fields, its effective work, the state.

An access is a word at a port. Lanes of a word that a mask clears count as read: the memory has read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS, COORDINATE_MASK
from gatewright.contract.isa import NO_TABLE, Opcode, column
from gatewright.sim.fast.state import State

WORD_OF: dict[str, str] = {
    "scratchpad": "words of 16 bytes, of whichever a port's bytes lie in",
    "patch": "words of as many bytes as the array has rows",
    "weight": "read: words of as many bytes as the array has rows; written: bytes, each to a lane of its own",
    "accumulators": "entries of as many int32 as the array has columns",
    "parameters": "entries of 8 bytes",
    "tables": "entries of 16 bits; read: each once by an instruction that looks it up",
    "masks": "written: words of 16 bits; read: such words by INDEX, a look-up for each piece of a row by GATHER",
    "instructions": "entries of 48 bytes",
    "dram": "bytes on the bus",
}
"""The memories, and what an access of each is."""

MACS, CELLS = "macs", "array_cells"
"""Multiplications of operands that are wanted, and all that the array's cells do while it streams."""

ACCESSES: tuple[str, ...] = (*(f"{name}.{way}" for name in WORD_OF for way in ("read", "write")), MACS, CELLS)
"""Every count, in order."""

Numbers = npt.NDArray[np.int64]
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Executed:
    """An instruction that was just executed: its decoded ``row``, its ``done`` work by name, and the machine."""

    arch: ArchConfig
    state: State
    opcode: Opcode
    row: Numbers
    done: dict[str, int]

    def __getitem__(self, name: str) -> int:
        """A field of the instruction."""
        return int(self.row[column(self.opcode, name)])

    def lists(self, field: str) -> bool:
        """Whether a field names a table."""
        return self[field] != NO_TABLE

    def tiles(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """(y, x), in tiles, of tiles of the instruction's chunk."""
        at = self["first_tile"] + numbers
        if self.lists("tile_table"):
            entries = self.state.tables[self["tile_table"]][at].astype(np.int64)
            return entries >> COORDINATE_BITS, entries & COORDINATE_MASK
        wide = max(1, -(-self["out_width"] // self["tile"]))
        return at // wide, at % wide

    def blocks(self, vectors: int) -> list[int]:
        """Lanes of each block of ``vectors`` standing vectors."""
        columns = self.arch.columns
        return [min(columns, vectors - first) for first in range(0, vectors, columns)]


def words(first: Numbers | int, count: Numbers | int, size: int) -> Numbers:
    """How many words of ``size`` hold ``count`` bytes (at least one) from ``first`` on, for each of both."""
    return np.asarray((np.asarray(first) % size + count - 1) // size + 1, np.int64)
