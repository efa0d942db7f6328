"""Early exits on the machine: logits to DRAM, their signs beside thresholds into a table, and perhaps the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatewright.compiler.emit.access import TABLE_PORT, reads, writes
from gatewright.compiler.emit.masks_and_tables import masks_of
from gatewright.compiler.emit.sign_bits import values_signs
from gatewright.compiler.kinds.exit import QuantisedExit
from gatewright.contract.arch import PARAMETER_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.index_table import build_table
from gatewright.contract.isa import Opcode
from gatewright.contract.program_parts import ExitRecord, GateRecord

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering


class ExitLowering:
    """Emits exits; ``records`` are those so far."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering, self.context = lowering, lowering.context
        self.records: list[ExitRecord] = []

    def emit(self, layer: QuantisedExit) -> None:
        """The logits are stored while the machine finds out whether any of them reaches its limit."""
        lowering, context, gates = self.lowering, self.context, self.lowering.gates
        image = context.image
        lowering.average(layer).finish()
        lowering.placements.logits(layer)
        lowering.store(layer.output)
        mask = gates.masks_and_tables.take_mask(len(layer.weight))
        margins = image.addresses[layer.margins_name]
        values_signs(context, lowering.loader, layer.signs_name, margins, len(layer.weight), mask)
        tables = self._index(layer, mask)
        # An exit that is taken in any of its parts is the exit; a record names the last.
        rows = [context.out.exit_if_listed(table) for table in tables] if context.live else [None]
        parameters = image.parameter_address + (image.parameter_start[layer.name] + 1) * PARAMETER_BYTES
        self.records.append(ExitRecord(layer.name, layer.output, parameters, layer.strict, rows[-1]))

    def _index(self, layer: QuantisedExit, mask: int) -> list[int]:
        """Emit an INDEX for as many bits as a table has entries: all may be on. Returns the tables."""
        context, gates, classes = self.context, self.lowering.gates, len(layer.weight)
        arch, decision = context.arch, gates.decided(layer.name)
        starts = range(0, classes, arch.table_entries)
        if len(starts) > arch.tables:
            raise GatewrightError(
                f"layer {layer.name}: its {classes} classes take {len(starts)} tables, of which arch {arch.name} has "
                f"{arch.tables}; raise table_entries"
            )
        tables = [gates.masks_and_tables.take_table(layer.name) for _ in starts]
        for first, table in zip(starts, tables, strict=True):
            row = context.out.emit(
                Opcode.INDEX,
                [reads("mask", mask, mask + masks_of(classes)), writes("table", table, table + 1), TABLE_PORT],
                mask=mask,
                bits=min(classes, first + arch.table_entries),
                first_bit=first,
                table=table,
            )
        bits = () if context.live else tuple(int(bit) for bit in decision)
        entries = () if context.live else tuple(int(entry) for entry in build_table(decision))
        context.records.append(GateRecord(layer.name, "exit", mask, classes, bits, entries, row))
        return tables
