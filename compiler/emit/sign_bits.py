"""From the vector that a gate on a global average makes of its sums to the bits of its mask."""

from __future__ import annotations

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.gate_work import threshold
from gatewright.compiler.emit.operands import gather, multiply
from gatewright.compiler.emit.placed_maps import Kernel, SourceMap
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.linear_gate import QuantisedLinearGate
from gatewright.compiler.plan.tile_sets import all_tiles
from gatewright.contract.isa import Stationary

ROW = 16
"""Values in a row of a vector that is read as a map of one channel."""


def sign_bits(context: Context, loader: FilterLoader, gate: QuantisedAverageGate, mask: int) -> None:
    """The signs of the vector's products, or of its values, into a mask."""
    if isinstance(gate, QuantisedLinearGate):
        _of_values(context, loader, gate, mask)
    else:
        _of_products(context, loader, gate, mask)


def _of_products(context: Context, loader: FilterLoader, gate: QuantisedAverageGate, mask: int) -> None:
    """The vector is one pixel: a bit per filter."""
    vector = SourceMap(context.image.addresses[gate.vector_name], 1, 1, len(gate.average_weight))
    patches = gather(context, vector, 1, all_tiles(1, 1, 1), 0, 1, Kernel())
    bank = context.image.banks[gate.name]
    for group in range(bank.groups(len(gate.sign_weight))):
        first = group * bank.group
        sizes = {
            "tile": 1,
            "tile_count": 1,
            "pixel_count": 1,
            "first_filter": first,
            "filter_count": min(bank.group, len(gate.sign_weight) - first),
            "stationary": int(Stationary.FILTERS),
        }
        context.next_bank()
        multiply(context, loader, gate.name, vector, 1, patches, sizes, group)
        loader.used(gate.name, group)
        threshold(context, gate.name, mask, first, 1, sizes)
    context.patches_multiplied(patches.base)
    context.macs[gate.name] += gate.sign_weight.size


def _of_values(context: Context, loader: FilterLoader, gate: QuantisedLinearGate, mask: int) -> None:
    """The vector's values by themselves."""
    values_signs(context, loader, gate.name, context.image.addresses[gate.vector_name], len(gate.average_weight), mask)


def values_signs(context: Context, loader: FilterLoader, bank: str, address: int, count: int, mask: int) -> None:
    """The signs of a vector's values: it is a map of one channel, multiplied by the 1 of a bank: a bit per pixel."""
    rows = -(-count // ROW)
    vector = SourceMap(address, rows, ROW, 1)
    patches = gather(context, vector, ROW, all_tiles(rows, ROW, 1), 0, count, Kernel())
    sizes = {
        "tile": 1,
        "tile_count": count,
        "pixel_count": count,
        "first_filter": 0,
        "filter_count": 1,
        "stationary": int(Stationary.PIXELS),
    }
    context.next_bank()
    multiply(context, loader, bank, vector, 1, patches, sizes)
    loader.used(bank, 0)
    threshold(context, bank, mask, 0, ROW, sizes)
    context.patches_multiplied(patches.base)
