"""Programs that are wrong in one instruction, and the error code that each must stop the machine with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import INSTRUCTION_BYTES, MASK_BITS, MASK_COLUMNS, MASKS
from gatewright.contract.isa import (
    FORMATS,
    HEADER_BITS,
    NO_MASK,
    NO_TABLE,
    OPCODE_BITS,
    UNIT_BITS,
    WAITS,
    EpilogueKind,
    Opcode,
    Unit,
)
from gatewright.contract.program import Program
from gatewright.contract.registers import ErrorCode

Instruction = int
"""The bits of an instruction as a number."""


@dataclass(frozen=True)
class Illegal:
    """A program that must stop the machine with ``code`` behind ``at`` dispatched instructions; ``what`` was spoilt.

    ``late``: the unit finds it as it takes the instruction, when others may have been dispatched behind it.
    """

    program: Program
    at: int
    code: ErrorCode
    what: str
    late: bool = False

    def is_at(self, dispatched: int) -> bool:
        """Whether so many instructions dispatched may be what the machine says."""
        return dispatched > self.at if self.late else dispatched == self.at


def _place(opcode: Opcode, name: str) -> tuple[int, int]:
    """(low bit, bits) of an operand field, from the format alone."""
    low = HEADER_BITS
    for field in FORMATS[opcode].fields:
        if field.name == name:
            return low, field.bits
        low += field.bits
    raise KeyError(name)


def _set(bits: Instruction, low: int, width: int, value: int) -> Instruction:
    mask = ((1 << width) - 1) << low
    return bits & ~mask | value << low & mask


def _field(bits: Instruction, opcode: Opcode, /, **values: int) -> Instruction:
    for name, value in values.items():
        bits = _set(bits, *_place(opcode, name), value)
    return bits


def _wait(bits: Instruction, unit: int, count: int, which: int = 0) -> Instruction:
    low = OPCODE_BITS + which * (UNIT_BITS + 16)
    return _set(_set(bits, low, UNIT_BITS, unit), low + UNIT_BITS, 16, count)


def _given(program: Program, at: int, unit: Unit) -> int:
    """Instructions that a unit was given before instruction ``at``."""
    return sum(FORMATS[Opcode(int(row[0]))].unit == unit for row in program.code[:at])


Spoil = Callable[[np.random.Generator, Program, int, Instruction, Opcode], tuple[Instruction, ErrorCode] | None]


def _opcode(rng: np.random.Generator, _: Program, __: int, bits: Instruction, ___: Opcode) -> tuple[int, ErrorCode]:
    illegal = [0, *range(max(Opcode) + 1, 1 << OPCODE_BITS)]
    return _set(bits, 0, OPCODE_BITS, int(rng.choice(illegal))), ErrorCode.ILLEGAL_OPCODE


def _stray(
    rng: np.random.Generator, _: Program, __: int, bits: Instruction, opcode: Opcode
) -> tuple[int, ErrorCode] | None:
    end = HEADER_BITS + FORMATS[opcode].bits
    if end == 8 * INSTRUCTION_BYTES:
        return None
    return bits | 1 << int(rng.integers(end, 8 * INSTRUCTION_BYTES)), ErrorCode.STRAY_BITS


def _wait_unit(rng: np.random.Generator, _: Program, __: int, bits: Instruction, ___: Opcode) -> tuple[int, ErrorCode]:
    unit = int(rng.integers(Unit.SEQUENCER, 1 << UNIT_BITS))
    return _wait(bits, unit, int(rng.integers(100)), int(rng.integers(WAITS))), ErrorCode.ILLEGAL_WAIT


def _wait_ahead(
    rng: np.random.Generator, program: Program, at: int, bits: Instruction, _: Opcode
) -> tuple[int, ErrorCode]:
    unit = Unit(int(rng.integers(1, 7)))
    ahead = _given(program, at, unit) + int(rng.choice([1, 2, 1000]))
    return _wait(bits, unit, ahead, int(rng.integers(WAITS))), ErrorCode.WAIT_AHEAD


def _window(rng: np.random.Generator) -> dict[str, int]:
    """A MAX, an AVERAGE, a DIGITS or a TAPS that is wrong in one operand."""
    kind = int(rng.integers(EpilogueKind.MAX, EpilogueKind.TAPS + 1))
    legal = {"kind": kind, "stationary": 0, "tile": 1, "tile_table": NO_TABLE, "filter_table": NO_TABLE, "compact": 0}
    legal |= {"residual": 0, "pool": 0, "digits": 0, "window": 2, "step": 2, "inset": 1, "parameters": 1}
    legal |= {"channels": 1, "wrap_row": 0, "elsewhere": 0, "upsample": 0, "only": 0}
    wrong: list[dict[str, int]] = [
        {"kind": int(rng.integers(9, 16))},
        {"stationary": 1},
        {"tile": 2},
        {"tile_table": 0},
        {"filter_table": 0},
        {"compact": 1},
        {"only": int(rng.integers(1, 4))},
    ]
    wrong += [{"residual": 1}, {"pool": 1}, {"digits": 1}, {"window": 0}, {"step": 0}, {"inset": 3}]
    wrong += {
        EpilogueKind.DIGITS: [{"window": 12}],
        EpilogueKind.TAPS: [{"window": 6}, {"channels": 2}, {"wrap_row": 1}],
    }.get(EpilogueKind(kind), [{"parameters": 0}])
    return {**legal, **wrong[int(rng.integers(len(wrong)))]}


def _depthwise(rng: np.random.Generator) -> dict[str, int]:
    """A DEPTHWISE that is wrong in one operand."""
    legal = {"kind": EpilogueKind.DEPTHWISE, "stationary": 0, "tile": 2, "tile_table": NO_TABLE}
    legal |= {"filter_table": NO_TABLE, "compact": 0, "residual": 0, "pool": 0, "digits": 0}
    legal |= {"window": 2, "step": 2, "inset": 1, "elsewhere": 0, "upsample": 0}
    wrong: list[dict[str, int]] = [{"stationary": 1}, {"residual": 1}, {"pool": 1}, {"digits": 1}, {"compact": 1}]
    wrong += [{"window": 0}, {"window": 4}, {"step": 0}, {"step": 3}, {"inset": 2}, {"tile": 0}]
    return {**legal, **wrong[int(rng.integers(len(wrong)))]}


def _operands(
    rng: np.random.Generator, program: Program, _: int, bits: Instruction, opcode: Opcode
) -> tuple[int, ErrorCode] | None:
    lacking_mask, mask = int(rng.integers(MASKS, NO_MASK)), int(rng.integers(1, MASKS))
    beyond = {"mask": mask, "bits": (MASKS - mask) * MASK_BITS + 1}
    choices: dict[Opcode, list[dict[str, int]]] = {
        Opcode.LOAD: [{"space": 6}, {"space": 7}],
        Opcode.GATHER: [
            {"source_mask": 0, "kernel_width": MASK_COLUMNS + 1},
            {"source_mask": lacking_mask},
        ],
        Opcode.MATMUL: [{"only": 3}, {"in_order": 1, "filter_table": NO_TABLE}],
        Opcode.EPILOGUE: [
            {"kind": 1, "stationary": 1},
            {"kind": 2, "stationary": 0, "pool": 1},
            {"kind": 3, "residual": 1},
            {"residual": 0, "elsewhere": 1},
            {"elsewhere": 0, "upsample": int(rng.integers(1, 4))},
            {"compact": 1, "filter_table": NO_TABLE},
            {"kind": int(rng.choice([0, 3])), "digits": 1},
            {"only": 3},
            _window(rng),
            _window(rng),
            _depthwise(rng),
        ],
        Opcode.INDEX: [{"table": NO_TABLE}, {"mask": lacking_mask}, {"mask": NO_MASK}, beyond],
        Opcode.EXIT: [],
        Opcode.SKIP: [],
    }
    if opcode not in choices:
        return None
    possible, tables = choices[opcode], program.arch.tables
    if tables < NO_TABLE:
        lacking = int(rng.integers(tables, NO_TABLE))
        possible = [*possible, *({name: lacking} for name in _TABLES.get(opcode, ()))]
    if not possible:
        return None
    return _field(bits, opcode, **possible[int(rng.integers(len(possible)))]), ErrorCode.ILLEGAL_OPERANDS


def inside_row(
    rng: np.random.Generator, program: Program, _: int, bits: Instruction, opcode: Opcode
) -> tuple[int, ErrorCode] | None:
    """A GATHER that begins inside a kernel row whose pixels lie apart: with the second slice of a row of several."""
    if opcode != Opcode.GATHER:
        return None
    channels, columns = program.arch.rows * int(rng.integers(1, 4)), int(rng.integers(2, 5))
    apart = {"dilation": int(rng.integers(2, 16))} if rng.integers(2) else {"pixel_channels": channels}
    whole = {"channels": channels, "channel_table": NO_TABLE, "tile_table": NO_TABLE, "tile_count": 1, "slice_count": 1}
    kernel = {"kernel_height": int(rng.integers(2, 5)), "kernel_width": columns, "first_slice": 1}
    spoilt = {"dilation": 0, "pixel_channels": 0, "source_mask": NO_MASK} | whole | kernel | apart
    return _field(bits, opcode, **spoilt), ErrorCode.ILLEGAL_OPERANDS


_TABLES = {
    Opcode.LOAD: ("row_table",),
    Opcode.GATHER: ("tile_table", "channel_table"),
    Opcode.MATMUL: ("tile_table", "filter_table", "channel_table"),
    Opcode.EPILOGUE: ("tile_table", "filter_table"),
    Opcode.INDEX: ("table",),
    Opcode.EXIT: ("count_table",),
    Opcode.SKIP: ("count_table",),
}
"""Operands that name a table."""

SPOILERS: tuple[Spoil, ...] = (_opcode, _stray, _wait_unit, _wait_ahead, _operands, inside_row)


def spoil(
    rng: np.random.Generator,
    program: Program,
    executed: npt.NDArray[np.int64],
    ways: tuple[Spoil, ...] = SPOILERS,
) -> Illegal:
    """One instruction of those that are ``executed``, numbers in order, made illegal in a random one of ways."""
    while True:
        dispatched = int(rng.integers(len(executed)))
        at = int(executed[dispatched])
        kind = ways[int(rng.integers(len(ways)))]
        place = program.code_address + at * INSTRUCTION_BYTES
        raw: npt.NDArray[np.uint8] = program.image[place : place + INSTRUCTION_BYTES]
        bits = int.from_bytes(raw.tobytes(), "little")
        spoilt = kind(rng, program, at, bits, Opcode(int(program.code[at, 0])))
        if spoilt is None:
            continue
        image = program.image.copy()
        image[place : place + INSTRUCTION_BYTES] = np.frombuffer(
            spoilt[0].to_bytes(INSTRUCTION_BYTES, "little"), np.uint8
        )
        what = f"{kind.__name__.strip('_')} of instruction {at}"
        return Illegal(replace(program, image=image), dispatched, spoilt[1], what, late=kind is inside_row)
