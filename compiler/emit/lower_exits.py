"""Early exits on the machine: logits to DRAM, their signs beside thresholds into a table, and perhaps the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatewright.compiler.emit.sign_bits import values_signs
from gatewright.compiler.kinds.exit import QuantisedExit
from gatewright.contract.arch import PARAMETER_BYTES
from gatewright.contract.program import ExitRecord

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
        lowering.place_logits(layer)
        lowering.store(layer.output)
        mask = gates.take_mask(len(layer.weight))
        margins = image.addresses[layer.margins_name]
        values_signs(context, lowering.loader, layer.signs_name, margins, len(layer.weight), mask)
        table, _ = gates.index(layer.name, "exit", mask, gates.decided(layer.name), False)
        row = context.out.exit_if_listed(table) if context.live else None
        parameters = image.parameter_address + (image.parameter_start[layer.name] + 1) * PARAMETER_BYTES
        self.records.append(ExitRecord(layer.name, layer.output, parameters, layer.strict, row))
