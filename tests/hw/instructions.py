"""Random legal instructions and every way to make one illegal, for the sequencer's benches."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from gatewright.contract.arch import MASK_COLUMNS, PRESETS
from gatewright.contract.encodings import most_taps_window
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import (
    FORMATS,
    HEADER_BITS,
    NO_MASK,
    NO_TABLE,
    OPCODE_BITS,
    QUEUED_UNITS,
    WAITS,
    EpilogueKind,
    Only,
    Opcode,
    Space,
    Unit,
)
from gatewright.contract.registers import ErrorCode
from gatewright.hw.layouts import PLACED, formats_of, operand_layout
from gatewright.verify.kit.programs import Row, row

ARCH = replace(PRESETS["4x4"], instruction_entries=72, queue_depth=3, tables=5)
"""Small pages and queues, so that both are full often; 5 tables and 72 entries are no powers of two."""

Waits = list[tuple[Unit, int]]


def random_row(rng: random.Random, opcode: Opcode, waits: Waits) -> Row:
    """A legal instruction with random fields, biased to the ends of their ranges."""
    fields = {f.name: rng.choice((0, (1 << f.bits) - 1, rng.getrandbits(f.bits))) for f in FORMATS[opcode].fields}
    for name in fields:
        if name.endswith("_table"):
            fields[name] = rng.choice((*range(ARCH.tables), NO_TABLE))
        elif name.endswith("mask"):
            fields[name] = rng.choice((*range(32), *([NO_MASK] * 16 if name == "source_mask" else [])))
    if "tile" in fields:
        fields["tile"] = fields["tile"] or rng.randint(1, 31)
    if opcode == Opcode.LOAD:
        fields["space"] = rng.choice([s for s in Space if s != Space.INSTRUCTIONS])
        if fields["space"] == Space.TABLE:
            fields["address"] = rng.randrange(ARCH.tables)
    elif opcode == Opcode.GATHER and fields["source_mask"] != NO_MASK:
        fields["kernel_width"] = rng.randint(0, MASK_COLUMNS)
        fields["source_tile"] = fields["source_tile"] or 1
        fields["source_grid"] = fields["source_grid"] or 63
    elif opcode == Opcode.MATMUL:
        fields["only"] = min(fields["only"], max(Only))
        fields["in_order"] &= fields["filter_table"] != NO_TABLE
    elif opcode == Opcode.EPILOGUE:
        _make_legal(rng, fields)
    elif opcode == Opcode.INDEX:
        fields["table"] = rng.randrange(ARCH.tables)
        fields["bits"] = rng.choice((0, 512, rng.randrange(512), min(512 * (32 - fields["mask"]), (1 << 14) - 1)))
    return row(opcode, waits, **fields)


def _make_legal(rng: random.Random, fields: dict[str, int]) -> None:
    fields["kind"] = min(fields["kind"], max(EpilogueKind))
    fields["only"] = min(fields["only"], max(Only))
    if fields["kind"] not in (EpilogueKind.REDUCE, EpilogueKind.REDUCE_RAW):
        fields["digits"] = 0
    if fields["kind"] == EpilogueKind.DEPTHWISE:
        fields |= {"stationary": 0, "digits": 0, "window": rng.randint(1, 3), "step": rng.randint(1, 2)}
        fields["inset"] = rng.randrange(fields["window"])
    elif fields["kind"] >= EpilogueKind.MAX:
        fields |= WINDOWS
        largest = 11 if fields["kind"] == EpilogueKind.DIGITS else 31
        fields["window"] = rng.choice((1, largest, rng.randint(1, largest)))
        fields["inset"] = rng.choice((0, min(15, fields["window"] - 1)))
        fields["step"] = fields["step"] or 1
        if fields["kind"] == EpilogueKind.TAPS:
            fields |= {"channels": 1, "wrap_row": 0, "window": rng.randint(1, most_taps_window(ARCH.columns))}
            fields["inset"] = rng.randrange(fields["window"])
        elif fields["kind"] != EpilogueKind.DIGITS:
            fields["parameters"] = fields["parameters"] or 1
    if fields["kind"] != EpilogueKind.STORE or fields["stationary"]:
        fields["pool"] = fields["residual"] = 0
    fields["elsewhere"] &= fields["residual"]
    if not fields["elsewhere"]:
        fields["upsample"] = 0
    if fields["kind"] in (EpilogueKind.REDUCE, EpilogueKind.REDUCE_RAW):
        fields["stationary"] = 0
    if fields["pool"]:
        fields["parameters"] = fields["parameters"] or 1
        area = fields["tile"] ** 2
        fields["first_pixel"] = rng.randrange(0, 1024, area)
    if fields["filter_table"] == NO_TABLE:
        fields["compact"] = 0


WINDOWS = {"stationary": 0, "tile": 1, "tile_table": NO_TABLE, "filter_table": NO_TABLE}
WINDOWS |= {"compact": 0, "residual": 0, "pool": 0, "digits": 0, "elsewhere": 0, "upsample": 0, "only": 0}
"""What the kinds MAX, AVERAGE and DIGITS demand."""


def bits_of(instruction: Row) -> int:
    """The instruction's 384 bits as an integer."""
    return int.from_bytes(encode(instruction[None]), "little")


def field(bits: int, opcode: Opcode, name: str) -> int:
    """One operand of encoded bits."""
    place = operand_layout(opcode)[name]
    return bits >> (HEADER_BITS + place.offset) & ((1 << place.width) - 1)


def with_field(bits: int, opcode: Opcode, /, **values: int) -> int:
    """Encoded bits with some operands replaced."""
    for name, value in values.items():
        place = operand_layout(opcode)[name]
        assert 0 <= value < 1 << place.width, name
        low = HEADER_BITS + place.offset
        bits = bits & ~(((1 << place.width) - 1) << low) | value << low
    return bits


def place_of(bits: int) -> dict[str, int]:
    """PLACE of an encoded GATHER or EPILOGUE by plain division: by a tile of 0 it gives 0 and keeps the dividend.

    A map of no columns has a grid of one.
    """
    opcode = Opcode(bits & ((1 << OPCODE_BITS) - 1))
    edge, first_tile = field(bits, opcode, "tile"), field(bits, opcode, "first_tile")
    pixel = 0 if opcode == Opcode.GATHER else field(bits, opcode, "first_pixel")
    tile, inside = _divide(pixel, edge * edge)
    inside_y, inside_x = _divide(inside, edge)
    columns = -(-field(bits, opcode, "out_width") // edge) if edge else 0
    tile_y, tile_x = divmod(first_tile + tile, max(1, columns))
    return {
        "tile": tile,
        "inside_y": inside_y,
        "inside_x": inside_x & 31,
        "tile_y": tile_y,
        "tile_x": tile_x & 1023,
    }


def _divide(dividend: int, divisor: int) -> tuple[int, int]:
    return divmod(dividend, divisor) if divisor else (0, dividend)


def has_place(unit: Unit) -> bool:
    """Whether a unit's queue entries carry a PLACE."""
    return unit in PLACED


def _header(position: int, unit: int, count: int) -> Callable[[int], int]:
    """Replaces a wait."""
    low = OPCODE_BITS + 20 * position

    def change(bits: int) -> int:
        return bits & ~(((1 << 20) - 1) << low) | (count << 4 | unit) << low

    return change


def _stray(opcode: Opcode, bit: int) -> Callable[[int], int]:
    return lambda bits: bits | 1 << (HEADER_BITS + FORMATS[opcode].bits + bit)


def _fields(opcode: Opcode, /, **values: int) -> Callable[[int], int]:
    return lambda bits: with_field(bits, opcode, **values)


Illegal = tuple[str, Opcode, Callable[[int], int], ErrorCode]


def illegal_kinds(given: dict[Unit, int]) -> list[Illegal]:
    """(name, opcode to start from, change, expected code); ``given``: instructions dispatched by then, by unit."""
    kinds: list[Illegal] = []
    for value in (0, max(Opcode) + 1, max(Opcode) + 2, 16, 31):
        kinds.append((f"opcode {value}", Opcode.END, lambda bits, v=value: bits & ~31 | v, ErrorCode.ILLEGAL_OPCODE))
    for opcode in Opcode:
        spare = 384 - HEADER_BITS - FORMATS[opcode].bits
        for bit in (0, spare - 1):
            kinds.append((f"stray bit {bit} of {opcode.name}", opcode, _stray(opcode, bit), ErrorCode.STRAY_BITS))
    for position in range(WAITS):
        for opcode in (Opcode.LOAD, Opcode.EPILOGUE, Opcode.NEXT, Opcode.EXIT, Opcode.END):
            for unit in (7, 8, 9, 15):
                change = _header(position, unit, 0)
                name = f"wait {position} of {opcode.name} for unit {unit}"
                kinds.append((name, opcode, change, ErrorCode.ILLEGAL_WAIT))
            for unit, count in given.items():
                change = _header(position, unit, count + 1)
                name = f"wait {position} of {opcode.name} for {unit.name} ahead"
                kinds.append((name, opcode, change, ErrorCode.WAIT_AHEAD))
    kinds.append(
        ("wait far ahead", Opcode.STORE, _header(1, Unit.ARRAY, given[Unit.ARRAY] + 30000), ErrorCode.WAIT_AHEAD)
    )
    kinds += [(name, opcode, change, ErrorCode.ILLEGAL_OPERANDS) for name, opcode, change in _illegal_operands()]
    return kinds


def _illegal_operands() -> list[tuple[str, Opcode, Callable[[int], int]]]:
    kinds = [(f"space {space}", Opcode.LOAD, _fields(Opcode.LOAD, space=space)) for space in (6, 7)]
    for table in (ARCH.tables, 30, 31, 32, 1 << 19):
        change = _fields(Opcode.LOAD, space=Space.TABLE, address=table)
        kinds.append((f"table {table} loaded", Opcode.LOAD, change))
    for opcode in Opcode:
        for operand in FORMATS[opcode].fields:
            if operand.name.endswith("_table"):
                for table in (ARCH.tables, 15, 30):
                    change = _fields(opcode, **{operand.name: table})
                    kinds.append((f"{operand.name} {table} of {opcode.name}", opcode, change))
            elif operand.name == "tile":
                kinds.append((f"tile 0 of {opcode.name}", opcode, _fields(opcode, tile=0)))
    masked = {"source_mask": 3, "kernel_width": 3, "source_tile": 4, "source_grid": 8}
    for name, value in (
        ("kernel_width", MASK_COLUMNS + 1),
        ("kernel_width", 15),
        ("source_tile", 0),
        ("source_grid", 0),
        ("source_mask", 32),
        ("source_mask", 62),
    ):
        change = _fields(Opcode.GATHER, **{**masked, name: value})
        kinds.append((f"masked gather with {name} {value}", Opcode.GATHER, change))
    kinds.append(("only 3 of MATMUL", Opcode.MATMUL, _fields(Opcode.MATMUL, only=3)))
    change = _fields(Opcode.MATMUL, in_order=1, filter_table=NO_TABLE, only=0)
    kinds.append(("in order without a filter table", Opcode.MATMUL, change))
    for name, changes in _EPILOGUES.items():
        whole = {"tile": 2, "first_pixel": 4, "parameters": 1, "filter_table": 0, "kind": 0, "stationary": 0, "pool": 0}
        whole |= {"residual": 0, "digits": 0, "elsewhere": 0, "upsample": 0}
        kinds.append((name, Opcode.EPILOGUE, _fields(Opcode.EPILOGUE, **{**whole, **changes})))
    own = {EpilogueKind.DIGITS: [("window", 12)], EpilogueKind.TAPS: [("window", 3), ("channels", 2), ("wrap_row", 1)]}
    for kind in (EpilogueKind.MAX, EpilogueKind.AVERAGE, EpilogueKind.DIGITS, EpilogueKind.TAPS):
        whole = {**WINDOWS, "kind": kind, "window": 2, "step": 2, "inset": 1, "parameters": 1}
        whole |= {"channels": 1, "wrap_row": 0}
        for name, value in _WINDOW_FAULTS + own.get(kind, [("parameters", 0)]):
            change = _fields(Opcode.EPILOGUE, **{**whole, name: value})
            kinds.append((f"{kind.name} with {name} {value}", Opcode.EPILOGUE, change))
    whole = {"kind": EpilogueKind.DEPTHWISE, "stationary": 0, "tile": 2, "filter_table": 0, "compact": 0}
    whole |= {"residual": 0, "pool": 0, "digits": 0, "window": 2, "step": 2, "inset": 1, "elsewhere": 0, "upsample": 0}
    for name, value in _DEPTHWISE_FAULTS:
        change = _fields(Opcode.EPILOGUE, **{**whole, name: value})
        kinds.append((f"DEPTHWISE with {name} {value}", Opcode.EPILOGUE, change))
    kinds += [
        (f"{name} {value} of INDEX", Opcode.INDEX, _fields(Opcode.INDEX, **{name: value}))
        for name, values in {"table": (ARCH.tables, 31), "mask": (32, 63)}.items()
        for value in values
    ]
    for mask, bits in ((31, 513), (16, 8193), (1, 16383), (31, 16383)):
        change = _fields(Opcode.INDEX, mask=mask, bits=bits)
        kinds.append((f"{bits} bits from mask {mask} on", Opcode.INDEX, change))
    return kinds


_EPILOGUES = {
    "REDUCE of stationary pixels": {"kind": 1, "stationary": 1},
    "REDUCE_RAW of stationary pixels": {"kind": 2, "stationary": 1},
    "pool of stationary pixels": {"stationary": 1, "pool": 1},
    "residual of stationary pixels": {"stationary": 1, "residual": 1},
    "pool of REDUCE": {"kind": 1, "pool": 1},
    "residual of REDUCE_RAW": {"kind": 2, "residual": 1},
    "pool of THRESHOLD": {"kind": 3, "pool": 1},
    "pool without an entry for it": {"pool": 1, "parameters": 0},
    "pool from a later row of a tile": {"pool": 1, "first_pixel": 6},
    "pool from a later column of a tile": {"pool": 1, "first_pixel": 5},
    "compact without a filter table": {"compact": 1, "filter_table": NO_TABLE},
    "elsewhere without a residual": {"elsewhere": 1},
    "elsewhere of REDUCE": {"kind": 1, "elsewhere": 1},
    "upsampling in place": {"residual": 1, "upsample": 1},
    "upsampling far in place": {"residual": 1, "upsample": 2},
    "only 3": {"only": 3},
    "digits of STORE": {"digits": 1},
    "digits of THRESHOLD": {"kind": 3, "digits": 1},
}

_DEPTHWISE_FAULTS = [("stationary", 1), ("residual", 1), ("pool", 1), ("digits", 1), ("window", 0), ("window", 4)]
_DEPTHWISE_FAULTS += [("window", 31), ("step", 0), ("step", 3), ("step", 4), ("inset", 2), ("inset", 15)]

_WINDOW_FAULTS = [
    ("kind", 9),
    ("kind", 15),
    ("stationary", 1),
    ("tile", 2),
    ("tile", 31),
    ("tile_table", 0),
    ("filter_table", 0),
]
_WINDOW_FAULTS += [("compact", 1), ("residual", 1), ("pool", 1), ("digits", 1), ("window", 0), ("step", 0)]
_WINDOW_FAULTS += [("inset", 3), ("inset", 15), ("only", 1), ("only", 2)]

UNIT_OPCODES = {unit: [form.opcode for form in formats_of(unit)] for unit in QUEUED_UNITS}
