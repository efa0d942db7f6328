"""Tables of some rows of a gate's tiles, made as a program needs them: which are active only the machine knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gatewright.compiler.emit.context import Context, DecidedGate
from gatewright.compiler.emit.emit import TABLE_PORT, reads, writes
from gatewright.compiler.plan.tiling import TileSet
from gatewright.contract.isa import Opcode

TABLES = 4
"""Tables of a gate that take turns: that of a step, and those that instructions of the steps before it still read."""


@dataclass
class RowTables:
    """Makes them, each by an INDEX over the rows' bits of the gate's mask."""

    context: Context
    take_table: Callable[[str], int]
    """A table for a gate of that name, for as long as layers name the gate."""
    _tables: dict[str, list[int]] = field(default_factory=dict)

    def resolved(self, tiles: TileSet) -> TileSet:
        """The tiles with a table of their own, if they are some rows of a list that the machine makes."""
        if tiles.made or tiles.gate_rows is None:
            return tiles
        name, gate = next(
            (name, gate)
            for name, gate in self.context.gates.items()
            if tiles.table in (gate.table, gate.complement_table)
        )
        table = self._next(name)
        self._index(gate, table, tiles.gate_rows, complement=tiles.table == gate.complement_table)
        return replace(tiles, table=table, made=True)

    def _next(self, gate: str) -> int:
        """The gate's tables take turns."""
        tables = self._tables.setdefault(gate, [])
        if len(tables) < TABLES:
            tables.append(self.take_table(gate))
        else:
            tables.append(tables.pop(0))
        return tables[-1]

    def _index(self, gate: DecidedGate, table: int, rows: tuple[int, int], complement: bool) -> None:
        first, end = rows
        width = gate.grid[1]
        self.context.out.emit(
            Opcode.INDEX,
            [reads("mask", gate.mask, gate.mask + 1), writes("table", table, table + 1), TABLE_PORT],
            mask=gate.mask,
            bits=end * width,
            first_bit=first * width,
            grid_width=width,
            table=table,
            complement=int(complement),
        )
