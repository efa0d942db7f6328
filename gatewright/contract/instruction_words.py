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

_WORD = np.dtype("<u8")
_WORD_BITS = 64
_WORDS = 8 * INSTRUCTION_BYTES // _WORD_BITS

Words = npt.NDArray[np.uint64]
"""Instructions as [n, words], the low bits in the first word."""


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


class _Packing:
    """All fields of an opcode at once: [n, fields] to words and back. Fields lie in order, without gaps."""

    def __init__(self, opcode: Opcode) -> None:
        columns, lows, bits, self.names = zip(*_layout(opcode), strict=True)
        self.columns, self.bits = np.array(columns), np.array(bits)
        self.word, shift = np.divmod(np.array(lows), _WORD_BITS)
        inside = np.minimum(self.bits, _WORD_BITS - shift)
        self.shift, self.inside = shift.astype(_WORD), inside.astype(_WORD)
        self.ones = np.array([(1 << width) - 1 for width in bits], _WORD)
        self.across = np.flatnonzero(inside < self.bits)  # their other bits are the lowest of the next word
        self.begin = np.flatnonzero(np.diff(self.word, prepend=-1))  # the first field of each word that has one
        used = (1 << lows[-1] + bits[-1]) - 1
        self.unused = ~np.frombuffer(used.to_bytes(INSTRUCTION_BYTES, "little"), _WORD)

    def pack(self, values: Words) -> Words:
        """Values that fit, [n, fields], as words."""
        words = np.zeros((len(values), _WORDS), _WORD)
        words[:, self.word[self.begin]] = np.bitwise_or.reduceat(values << self.shift, self.begin, axis=1)
        words[:, self.word[self.across] + 1] |= values[:, self.across] >> self.inside[self.across]
        return words

    def unpack(self, words: Words) -> Words:
        """Words as values, [n, fields]."""
        values = words[:, self.word] >> self.shift
        values[:, self.across] |= words[:, self.word[self.across] + 1] << self.inside[self.across]
        return values & self.ones


_PACKING = {opcode: _Packing(opcode) for opcode in FORMATS}
_CAN_BE_AWAITED = np.isin(np.arange(1 << UNIT_BITS), (Unit.NONE, *QUEUED_UNITS))


def _check_waits(code: npt.NDArray[np.int64]) -> None:
    """Only units with queues can be waited for."""
    bad = ~_CAN_BE_AWAITED[code[:, 1:OPERAND_COLUMN:2]].all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise GatewrightError(f"instruction {row} ({Opcode(int(code[row, 0])).name}): waits on no unit")


def encode(code: npt.NDArray[np.int64]) -> bytes:
    """The decoded table [n, COLUMNS] as bytes; a value that does not fit its field is an error."""
    words = np.zeros((len(code), _WORDS), _WORD)
    for opcode, rows in _by_opcode(code):
        packing = _PACKING[opcode]
        values = code[rows[:, None], packing.columns]
        wrong = values >> packing.bits != 0  # negative ones, too
        if wrong.any():
            worst, field = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            raise GatewrightError(
                f"instruction {rows[worst]} ({opcode.name}): {packing.names[field]} = {values[worst, field]} "
                f"does not fit in {packing.bits[field]} bits"
            )
        words[rows] = packing.pack(values.astype(_WORD))
    _check_waits(code)
    return words.tobytes()


def decode(data: bytes) -> npt.NDArray[np.int64]:
    """The inverse of ``encode``; an unknown opcode, wait unit or a stray bit is an error that names the place."""
    if len(data) % INSTRUCTION_BYTES:
        raise GatewrightError(f"instructions are {INSTRUCTION_BYTES} bytes; {len(data)} bytes is not a whole number")
    words = np.frombuffer(data, _WORD).reshape(-1, _WORDS)
    code = np.zeros((len(words), COLUMNS), np.int64)
    code[:, 0] = words[:, 0] & np.uint64((1 << OPCODE_BITS) - 1)
    for opcode, rows in _by_opcode(code):
        packing, part = _PACKING[opcode], words[rows]
        code[rows[:, None], packing.columns] = packing.unpack(part)
        stray = (part & packing.unused).any(axis=1)
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
