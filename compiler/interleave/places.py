"""Which fields of an instruction name a place in which memory, so that an instruction can be moved elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gatewright.contract.arch import MASK_BITS
from gatewright.contract.encodings import REGION_UNIT, SCRATCHPAD_SPACE
from gatewright.contract.isa import FORMATS, NO_MASK, NO_TABLE, EpilogueKind, Opcode, Space

SCRATCHPAD, PATCH, WEIGHT, PARAMETER = "scratchpad", "patch", "weight", "parameter"
ACCUMULATOR, TABLE, MASK = "accumulator", "table", "mask"


class Place(NamedTuple):
    """A field that names an address of a memory: ``units`` of the field are ``addresses`` of the memory."""

    field: str
    memory: str
    units: int = 1
    addresses: int = 1

    def address(self, value: int) -> int:
        """The address that the field names."""
        return value * self.addresses // self.units

    def moved(self, value: int, by: int) -> int:
        """The field's value where all lies ``by`` addresses farther on."""
        moved = value + by * self.units // self.addresses
        return moved % SCRATCHPAD_SPACE if self.memory == SCRATCHPAD else moved


_MASK_BIT = MASK_BITS, 1

_LOADED = {
    Space.SCRATCHPAD: Place("address", SCRATCHPAD),
    Space.WEIGHTS_BY_VECTOR: Place("address", WEIGHT, 1, REGION_UNIT),
    Space.WEIGHTS_BY_REDUCTION: Place("address", WEIGHT, 1, REGION_UNIT),
    Space.PARAMETERS: Place("address", PARAMETER),
    Space.TABLE: Place("address", TABLE),
}

_PLACES: dict[Opcode, tuple[Place, ...]] = {
    Opcode.LOAD: (),
    Opcode.GATHER: (Place("source", SCRATCHPAD), Place("patch_base", PATCH, 1, REGION_UNIT)),
    Opcode.MATMUL: (
        Place("patch_base", PATCH, 1, REGION_UNIT),
        Place("weight_base", WEIGHT, 1, REGION_UNIT),
        Place("bank", ACCUMULATOR),
    ),
    Opcode.EPILOGUE: (Place("bank", ACCUMULATOR), Place("parameters", PARAMETER)),
    Opcode.INDEX: (Place("mask", MASK), Place("table", TABLE)),
    Opcode.STORE: (Place("address", SCRATCHPAD),),
}

_TABLES = {
    opcode: tuple(Place(f.name, TABLE) for f in FORMATS[opcode].fields if f.name.endswith("_table"))
    for opcode in _PLACES
}

_SIGNS = EpilogueKind.THRESHOLD, EpilogueKind.TAPS
_NO_BANK = EpilogueKind.MAX, EpilogueKind.AVERAGE, EpilogueKind.DIGITS, EpilogueKind.DEPTHWISE


def places(opcode: Opcode, values: Mapping[str, int]) -> Iterator[Place]:
    """The fields of an instruction, among those that are given, that name a place in a memory."""
    for place in _TABLES[opcode]:
        if values.get(place.field, NO_TABLE) != NO_TABLE:
            yield place
    if opcode == Opcode.LOAD:
        yield _LOADED[Space(values["space"])]
    elif opcode == Opcode.GATHER and values.get("source_mask", NO_MASK) != NO_MASK:
        yield Place("source_mask", MASK)
    elif opcode == Opcode.EPILOGUE:
        yield from _of_an_epilogue(EpilogueKind(values.get("kind", 0)), values)
    for place in _PLACES[opcode]:
        windows = opcode == Opcode.EPILOGUE and EpilogueKind(values.get("kind", 0)) in _NO_BANK
        if place.field in values and not (windows and place.memory == ACCUMULATOR):
            yield place


def _of_an_epilogue(kind: EpilogueKind, values: Mapping[str, int]) -> Iterator[Place]:
    if "destination" in values:
        signs = kind in _SIGNS
        yield Place("destination", MASK, *_MASK_BIT) if signs else Place("destination", SCRATCHPAD)
    if values.get("pool", 0):
        yield Place("pool_address", SCRATCHPAD)
    if kind in _NO_BANK or values.get("elsewhere", 0):
        yield Place("source", SCRATCHPAD)
