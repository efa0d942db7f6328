"""The machine's masks and index tables: which of them a gate takes."""

from __future__ import annotations

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.contract.arch import MASK_BITS, MASKS
from gatewright.contract.errors import GatewrightError


def masks_of(bits: int) -> int:
    """Masks that so many decisions take."""
    return max(1, -(-bits // MASK_BITS))


class MasksAndTables:
    """Gives both in turn; a table that a coming layer names is passed over."""

    def __init__(self, context: Context, loader: FilterLoader) -> None:
        self.context, self.loader = context, loader
        self._mask, self._table = 1, 0
        self._holders: dict[int, str] = {}

    def take_table(self, gate: str) -> int:
        """The tables take turns; one that a coming layer still names must not be written."""
        arch = self.context.arch
        for _ in range(arch.tables):
            table = self._table = (self._table + 1) % arch.tables
            holder = self._holders.get(table)
            if holder is None or self._last_use(holder) < self.loader.turn[gate]:
                break
        else:
            raise GatewrightError(
                f"arch {arch.name}: gate {gate} finds its {arch.tables} index tables taken by gates that are still in "
                f"use ({holder}); raise tables"
            )
        self._holders[table] = gate
        self.context.out.begin_region("table", table, table + 1)
        return table

    def _last_use(self, gate: str) -> int:
        """The number of the last layer that a gate has a say in; -1 of an exit, which nobody asks later."""
        users = (layer for layer in self.context.graph.layers if gate in layer.gates)
        return max((self.loader.turn[layer.name] for layer in users), default=-1)

    def take_mask(self, bits: int) -> int:
        """The masks take turns; long ones are several that follow one another."""
        first, count = self._mask, masks_of(bits)
        if count > MASKS:
            raise GatewrightError(f"gate {self.context.out.layer}: {bits} bits are more than {MASKS} masks hold")
        first = first if first + count <= MASKS else 0
        self._mask = (first + count) % MASKS
        self.context.out.begin_region("mask", first, first + count)
        return first
