"""Instructions and queue entries as Amaranth layouts, derived from the ISA."""

from __future__ import annotations

from amaranth.lib import data
from amaranth.utils import bits_for

from gatewright.contract.arch import INSTRUCTION_BYTES
from gatewright.contract.isa import (
    COUNT_BITS,
    FORMATS,
    HEADER_BITS,
    OPCODE_BITS,
    UNIT_BITS,
    UNITS,
    WAITS,
    Format,
    Opcode,
    Unit,
)

INSTRUCTION_BITS = 8 * INSTRUCTION_BYTES

WAIT = data.StructLayout({"unit": UNIT_BITS, "count": COUNT_BITS})
HEADER = data.StructLayout({"opcode": OPCODE_BITS, "waits": data.ArrayLayout(WAIT, WAITS)})
assert HEADER.size == HEADER_BITS

COUNTS = data.ArrayLayout(COUNT_BITS, UNITS)
"""Completed instructions of every unit, modulo 2**16."""


def operand_layout(opcode: Opcode) -> data.StructLayout:
    """The operand fields of an opcode, from bit HEADER_BITS of the instruction up."""
    return data.StructLayout({f.name: f.bits for f in FORMATS[opcode].fields})


_PIXELS = operand_layout(Opcode.EPILOGUE)
_LARGEST_NUMBER = (1 << _PIXELS["first_tile"].width) + (1 << _PIXELS["first_pixel"].width) - 2
"""Of a tile in its raster: ``first_tile`` + ``tile``."""

PLACE = data.StructLayout(
    {
        "tile": _PIXELS["first_pixel"].width,
        "inside_y": _PIXELS["tile"].width,
        "inside_x": _PIXELS["tile"].width,
        "tile_y": bits_for(_LARGEST_NUMBER),
        "tile_x": _PIXELS["out_width"].width,
    }
)
"""Where an instruction's first pixel lies, worked out by the predecoder.

``tile``: first_pixel div tile^2 (the tile's number within the chunk); ``inside_y``, ``inside_x``: the pixel inside
its tile; ``tile_y``, ``tile_x``: the place of tile ``first_tile + tile`` in the raster of ceil(out_width / tile)
columns, meaningful without a tile table only. A GATHER begins at pixel 0 of its first tile.
"""

PLACED = (Unit.GATHER, Unit.EPILOGUE)
"""Units whose queue entries carry a PLACE."""


def formats_of(unit: Unit) -> tuple[Format, ...]:
    """The formats of the opcodes that a unit executes."""
    return tuple(f for f in FORMATS.values() if f.unit == unit)


def head_layout(unit: Unit) -> data.StructLayout:
    """What a unit sees of the instruction at its queue's head: ``operands``, and ``place`` where it has one.

    A unit with several opcodes sees the ``opcode`` too, and its ``operands`` are a union by the opcodes' names.
    """
    layouts = {form.opcode.name.lower(): operand_layout(form.opcode) for form in formats_of(unit)}
    members: dict[str, data.Layout | int]
    if len(layouts) > 1:
        members = {"operands": data.UnionLayout(layouts), "opcode": OPCODE_BITS}
    else:
        members = {"operands": next(iter(layouts.values()))}
    if unit in PLACED:
        members["place"] = PLACE
    return data.StructLayout(members)


def entry_layout(unit: Unit) -> data.StructLayout:
    """An entry of a unit's queue: ``waits`` and ``head``."""
    return data.StructLayout({"waits": data.ArrayLayout(WAIT, WAITS), "head": head_layout(unit)})
