"""The index tables and the masks: what a gate decided, where the other units read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, MASKS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import NO_TABLE
from gatewright.sim.stepped.edge import Edge

if TYPE_CHECKING:
    from gatewright.sim.stepped.instruction import Instruction


class Tables:
    """Index tables: read without delay (small memories of their own), written at the clock edge.

    The write port takes the entries and the count of one instruction in a cycle; two are an error.
    """

    def __init__(self, edge: Edge, arch: ArchConfig, fill: np.random.Generator | None) -> None:
        self._edge = edge
        shape = (arch.tables, arch.table_entries)
        self._entries = np.zeros(shape, np.uint16) if fill is None else fill.integers(0, 1 << 16, shape, np.uint16)
        self._counts = [0] * arch.tables
        self._writer: Instruction | None = None

    def _check(self, table: int, position: int, user: object) -> None:
        tables, entries = self._entries.shape
        if table >= tables or not 0 <= position < entries:
            raise GatewrightError(
                f"{user}: entry {position} of table {table} does not exist; "
                f"this machine has {tables} tables of {entries} entries"
            )

    def count(self, table: int) -> int:
        """The count of a table, now; a table that the machine lacks is an error."""
        self._check(table, 0, "an instruction's table field")
        return self._counts[table]

    def deciding_count(self, table: int) -> int:
        """The count that EXIT and SKIP compare, now; no table counts as 0."""
        return 0 if table == NO_TABLE else self.count(table)

    def read(self, table: int, position: int, user: object) -> int:
        """An entry, now; ``user`` is named in the error for an entry that does not exist."""
        self._check(table, position, user)
        return int(self._entries[table, position])

    def write(self, table: int, position: int, value: int, user: Instruction) -> None:
        """Write an entry at the clock edge."""
        self._check(table, position, user)
        self._take_port(user)
        self._edge.later(self._set_entry, table, position, value)

    def set_count(self, table: int, count: int, user: Instruction) -> None:
        """Set a table's count at the clock edge."""
        self._check(table, max(0, count - 1), user)
        self._take_port(user)
        self._edge.later(self._counts.__setitem__, table, count)

    def _take_port(self, user: Instruction) -> None:
        if self._writer is None:
            self._edge.later(self._free_port)
        elif self._writer is not user:
            raise GatewrightError(
                f"{self._writer} and {user} both write an index table in one cycle; add a wait that orders them"
            )
        self._writer = user

    def _free_port(self) -> None:
        self._writer = None

    def _set_entry(self, table: int, position: int, value: int) -> None:
        self._entries[table, position] = value

    def contents(self) -> list[npt.NDArray[np.uint16]]:
        """The entries of every table, up to its count."""
        return [row[:count].copy() for row, count in zip(self._entries, self._counts, strict=True)]


class Masks:
    """Mask bits, addressed as mask * MASK_BITS + bit; zero at the start."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._bits = np.zeros(MASKS * MASK_BITS, np.bool_)

    def read(self, mask: int, bits: npt.NDArray[np.int64], user: object) -> npt.NDArray[np.bool_]:
        """Bits of one mask, now; bit numbers wrap within the mask. ``user`` is named if there is no such mask."""
        if mask >= MASKS:
            raise GatewrightError(f"{user}: mask {mask} does not exist; the machine has {MASKS}")
        return self._bits[mask * MASK_BITS + bits % MASK_BITS]

    def read_on(self, mask: int, bits: npt.NDArray[np.int64], user: object) -> npt.NDArray[np.bool_]:
        """Bits from those of a mask on, now: the masks behind it go on where it ends."""
        if len(bits) and mask * MASK_BITS + int(bits[-1]) >= len(self._bits):
            raise GatewrightError(f"{user}: bit {int(bits[-1])} of mask {mask} is behind the last of {MASKS} masks")
        return self._bits[mask * MASK_BITS + bits]

    def write(self, first: int, bits: npt.NDArray[np.bool_], user: object) -> None:
        """Write consecutive bits from flat address ``first`` at the clock edge."""
        if first + len(bits) > len(self._bits):
            raise GatewrightError(f"{user}: mask bit {first + len(bits) - 1} is beyond the {len(self._bits)} mask bits")
        self._edge.later(self._set, first, bits.copy())

    def _set(self, first: int, bits: npt.NDArray[np.bool_]) -> None:
        self._bits[first : first + len(bits)] = bits

    def contents(self) -> npt.NDArray[np.bool_]:
        """A copy, [MASKS, MASK_BITS]."""
        return self._bits.reshape(MASKS, MASK_BITS).copy()
