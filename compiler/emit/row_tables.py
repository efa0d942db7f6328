"""Tables of some of a gate's tiles, made as a program needs them: which are active only the machine knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gatewright.compiler.emit.access import TABLE_PORT, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.plan.tile_sets import TileSet
from gatewright.contract.isa import Opcode

TABLES = 4
"""Tables of a gate that take turns: that of a step, and those that instructions of the steps before it still read."""

TABLES_OF_TILES = 8
"""The same where a step has several: of its tiles' places in the grid and in one column, and of those that are off."""


@dataclass(frozen=True)
class _Listed:
    """What a table lists: bits [first, end) of a gate's mask, or those of them that are 0; in rows of ``width``."""

    gate: str
    bits: tuple[int, int]
    width: int
    complement: bool


@dataclass
class RowTables:
    """Makes them, each by an INDEX over some bits of the gate's mask."""

    context: Context
    take_table: Callable[[str], int]
    """A table for a gate of that name, for as long as layers name the gate."""
    _tables: dict[str, list[int]] = field(default_factory=dict)
    _made: dict[int, _Listed] = field(default_factory=dict)

    def resolved(self, tiles: TileSet) -> TileSet:
        """The tiles with a table of their own, if they are some of a list that the machine makes."""
        if tiles.made or tiles.gate_rows is None:
            return tiles
        name, gate = next(  # the last one that has the table: gates take turns with them
            (name, gate)
            for name, gate in reversed(self.context.gates.items())
            if tiles.table in (gate.table, gate.complement_table)
        )
        width = gate.grid[1]
        first, end = tiles.gate_bits or (tiles.gate_rows[0] * width, tiles.gate_rows[1] * width)
        complement = tiles.table == gate.complement_table
        wanted = _Listed(name, (first, end), 1 if tiles.column else width, complement)
        several = tiles.gate_bits is not None or name in self.context.image.zeroed.values()
        return replace(tiles, table=self._table(gate, wanted, several), made=True)

    def _table(self, gate: DecidedGate, wanted: _Listed, several: bool) -> int:
        """The table that lists what is wanted; the gate's tables take turns."""
        tables = self._tables.setdefault(wanted.gate, [])
        known = next((table for table in tables if self._made[table] == wanted), None)
        if known is not None:
            return known
        if len(tables) < (TABLES_OF_TILES if several else TABLES):
            tables.append(self.take_table(wanted.gate))
        else:
            tables.append(tables.pop(0))
        self._made[tables[-1]] = wanted
        self._index(gate, tables[-1], wanted)
        return tables[-1]

    def _index(self, gate: DecidedGate, table: int, wanted: _Listed) -> None:
        first, end = wanted.bits
        self.context.out.emit(
            Opcode.INDEX,
            [reads("mask", gate.mask, gate.mask + 1), writes("table", table, table + 1), TABLE_PORT],
            mask=gate.mask,
            bits=end,
            first_bit=first,
            grid_width=wanted.width,
            table=table,
            complement=int(wanted.complement),
        )
