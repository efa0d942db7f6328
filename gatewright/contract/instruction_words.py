"""Instructions as bytes: the decoded table of ``isa`` to little-endian words and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import INSTRUCTION_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import (
    COLUMNS,
    COUNT_BITS,
    FORMATS,
    OPCODE_BITS,
    OPERAND_COLUMN,
    QUEUED_UNITS,
    UNIT_BITS,
    WAITS,
    Opcode,
    Unit,
)


def _layout(opcode: Opcode) -> list[tuple[int, int, int, str]]:
    """(column, low bit, bits, name) of every field, header included."""
    layout, low = [(0, 0, OPCODE_BITS, "opcode")], OPCODE_BITS
    for wait in range(WAITS):
        layout.append((1 + 2 * wait, low, UNIT_BITS, f"wait {wait} unit"))
        layout.append((2 + 2 * wait, low + UNIT_BITS, COUNT_BITS, f"wait {wait} count"))
        low += UNIT_BITS + COUNT_BITS
    for index, field in enumerate(FORMATS[opcode].fields):
        layout.append((OPERAND_COLUMN + index, low, field.bits, field.name))
        low += field.bits
    return layout


def field_place(opcode: Opcode, name: str) -> tuple[int, int]:
    """The low bit of a field, and its bits; all instructions have ``opcode``, ``wait 0 unit``, ``wait 0 count``, ..."""
    return next((low, bits) for _, low, bits, known in _layout(opcode) if known == name)


def _check_waits(code: npt.NDArray[np.int64]) -> None:
    """Only units with queues can be waited for."""
    for wait in range(WAITS):
        bad = ~np.isin(code[:, 1 + 2 * wait], (Unit.NONE, *QUEUED_UNITS))
        if bad.any():
            row = int(np.argmax(bad))
            raise GatewrightError(f"instruction {row} ({Opcode(int(code[row, 0])).name}): waits on no unit")


def encode(code: npt.NDArray[np.int64]) -> bytes:
    """The decoded table [n, COLUMNS] as bytes; a value that does not fit its field is an error."""
    words = np.zeros((len(code), INSTRUCTION_BYTES * 8), np.uint8)
    for opcode, rows in _by_opcode(code):
        for where, low, bits, name in _layout(opcode):
            values = code[rows, where]
            if ((values < 0) | (values >> bits != 0)).any():
                worst = rows[int(np.argmax((values < 0) | (values >> bits != 0)))]
                raise GatewrightError(
                    f"instruction {worst} ({opcode.name}): {name} = {code[worst, where]} does not fit in {bits} bits"
                )
            words[rows[:, None], low + np.arange(bits)] = (values[:, None] >> np.arange(bits)) & 1
    _check_waits(code)
    return np.packbits(words, axis=1, bitorder="little").tobytes()


def decode(data: bytes) -> npt.NDArray[np.int64]:
    """The inverse of ``encode``; an unknown opcode, wait unit or a stray bit is an error that names the place."""
    if len(data) % INSTRUCTION_BYTES:
        raise GatewrightError(f"instructions are {INSTRUCTION_BYTES} bytes; {len(data)} bytes is not a whole number")
    packed = np.frombuffer(data, np.uint8).reshape(-1, INSTRUCTION_BYTES)
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(np.int64)
    code = np.zeros((len(bits), COLUMNS), np.int64)
    code[:, 0] = bits[:, :OPCODE_BITS] @ (1 << np.arange(OPCODE_BITS))
    for opcode, rows in _by_opcode(code):
        end = 0
        for where, low, width, _ in _layout(opcode):
            code[rows, where] = bits[rows, low : low + width] @ (1 << np.arange(width, dtype=np.int64))
            end = low + width
        stray = bits[rows, end:].any(axis=1)
        if stray.any():
            raise GatewrightError(f"instruction {rows[int(np.argmax(stray))]} ({opcode.name}): unused bits are set")
    _check_waits(code)
    return code


def _by_opcode(code: npt.NDArray[np.int64]) -> list[tuple[Opcode, npt.NDArray[np.int64]]]:
    groups = []
    for value in np.unique(code[:, 0]):
        rows = np.flatnonzero(code[:, 0] == value)
        if int(value) not in FORMATS:
            raise GatewrightError(f"instruction {rows[0]}: illegal opcode {value}")
        groups.append((Opcode(int(value)), rows))
    return groups
