"""Readable text for programs, and back: one instruction a line.

A line is a number, a mnemonic, the waits, then every field by name::

    12 MATMUL after LOAD:3,GATHER:2 stationary=FILTERS patch_base=0 ... channel_table=none ; layer1.0.conv1

``;`` starts a comment. Numbers may be decimal or hexadecimal; fields that are enumerations use
their names; ``none`` is ``NO_TABLE`` or, of a mask, ``NO_MASK``. Directives give what is not in an instruction:

``.arch NAME``, ``.code_address N``, ``.boot_count N`` and ``.page N`` before the first instruction
of page N. Nothing is optional but the instruction's number, so that nothing is defaulted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError
from gatewright.contract.fields import Field
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import (
    COLUMNS,
    COUNT_BITS,
    FORMATS,
    NO_MASK,
    NO_TABLE,
    OPERAND_COLUMN,
    WAITS,
    EpilogueKind,
    Only,
    Opcode,
    Space,
    Stationary,
    Unit,
)
from gatewright.contract.program import Program
from gatewright.contract.schema import show

SYMBOLS: dict[tuple[Opcode, str], type[IntEnum]] = {
    (Opcode.LOAD, "space"): Space,
    (Opcode.MATMUL, "stationary"): Stationary,
    (Opcode.EPILOGUE, "stationary"): Stationary,
    (Opcode.EPILOGUE, "kind"): EpilogueKind,
    (Opcode.MATMUL, "only"): Only,
    (Opcode.EPILOGUE, "only"): Only,
}
"""Fields that are written by name."""

_HEADER = ("arch", "code_address", "boot_count")
_HEXADECIMAL_BITS = 20
"""Fields at least this wide are addresses, and written in hexadecimal."""


@dataclass
class Assembly:
    """What a text says: the decoded table of ``isa``, and the directives."""

    code: npt.NDArray[np.int64]
    page_starts: list[int]
    header: dict[str, str] = field(default_factory=dict)


def number_of_none(name: str) -> int | None:
    """What a field holds that names no table or no mask (written ``none``); None if it always names one, or neither."""
    if name.endswith("_table"):
        return NO_TABLE
    return NO_MASK if name.endswith("_mask") else None


def format_instruction(row: npt.NDArray[np.int64]) -> str:
    """One row of a decoded table as text, without number and comment."""
    opcode = Opcode(int(row[0]))
    parts = [f"{opcode.name:<8}"]
    waits = [(Unit(int(row[1 + 2 * w])), int(row[2 + 2 * w])) for w in range(WAITS)]
    while waits and waits[-1] == (Unit.NONE, 0):
        waits.pop()
    if waits:
        parts.append("after " + ",".join(f"{unit.name}:{count}" for unit, count in waits))
    for index, item in enumerate(FORMATS[opcode].fields):
        parts.append(f"{item.name}={_format_value(opcode, item, int(row[OPERAND_COLUMN + index]))}")
    return " ".join(parts).rstrip()


def _format_value(opcode: Opcode, item: Field, value: int) -> str:
    symbols = SYMBOLS.get((opcode, item.name))
    if symbols is not None and value in symbols.__members__.values():
        return symbols(value).name
    if value == number_of_none(item.name):
        return "none"
    return hex(value) if item.bits >= _HEXADECIMAL_BITS else str(value)


def disassemble(program: Program) -> str:
    """The whole program as text; ``assemble`` gives the same instructions back."""
    lines = [
        f".arch {_arch_label(program)}",
        f".code_address {program.code_address:#x}",
        f".boot_count {program.boot_count}",
    ]
    pages = {start: page for page, start in enumerate(program.page_starts)}
    for number, row in enumerate(program.code):
        if number in pages:
            lines += ["", f".page {pages[number]}"]
        layer = f" ; {program.layers[number]}" if number < len(program.layers) else ""
        lines.append(f"{number:>5} {format_instruction(row)}{layer}")
    return "\n".join(lines) + "\n"


def _arch_label(program: Program) -> str:
    """The architecture's name as one line of words without the comment sign; a file may call itself anything."""
    return " ".join(program.arch.name.replace(";", " ").split()) or "unnamed"


def assemble(text: str) -> Assembly:
    """Read a text; a fault is a ``GatewrightError`` that names the line and the token."""
    rows: list[list[int]] = []
    page_starts: list[int] = []
    header: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        tokens = line.split(";", 1)[0].split()
        if not tokens:
            continue
        if tokens[0].startswith("."):
            _directive(number, tokens, header, page_starts, len(rows))
            continue
        if tokens[0].isdecimal():
            if tokens[0].lstrip("0") != str(len(rows)).lstrip("0"):
                raise _fault(number, tokens[0], f"this is instruction {len(rows)}; number it so, or leave numbers out")
            tokens = tokens[1:]
        rows.append(_instruction(number, tokens))
    return Assembly(np.array(rows, np.int64).reshape(-1, COLUMNS), page_starts, header)


def _fault(line: int, token: str, message: str) -> GatewrightError:
    return GatewrightError(f"line {line}: {show(token)}: {message}")


def _directive(line: int, tokens: list[str], header: dict[str, str], page_starts: list[int], position: int) -> None:
    name = tokens[0][1:]
    if name not in (*_HEADER, "page"):
        raise _fault(line, tokens[0], f"no such directive; there are .{', .'.join((*_HEADER, 'page'))}")
    if len(tokens) < 2 or (len(tokens) > 2 and name != "arch"):
        raise _fault(line, tokens[-1], f"{tokens[0]} takes one value")
    if name == "page":
        if _number(line, tokens[1]) != len(page_starts):
            raise _fault(line, tokens[1], f"the next page is {len(page_starts)}")
        page_starts.append(position)
    elif name in header:
        raise _fault(line, tokens[0], "given twice")
    else:
        # An architecture's name may hold spaces; numbers are compared as numbers.
        header[name] = " ".join(tokens[1:]) if name == "arch" else show(_number(line, tokens[1]))


def _instruction(line: int, tokens: list[str]) -> list[int]:
    if not tokens:
        raise GatewrightError(f"line {line}: a number without an instruction")
    if tokens[0] not in Opcode.__members__:
        raise _fault(line, tokens[0], f"no such instruction; there are {', '.join(Opcode.__members__)}")
    opcode = Opcode[tokens[0]]
    row = [int(opcode)] + [0] * (COLUMNS - 1)
    tokens = tokens[1:]
    if tokens and tokens[0] == "after":
        if len(tokens) < 2:
            raise _fault(line, "after", "waits must follow, for example LOAD:3,ARRAY:1")
        row[1:OPERAND_COLUMN] = _waits(line, tokens[1])
        tokens = tokens[2:]
    fields = {item.name: (index, item) for index, item in enumerate(FORMATS[opcode].fields)}
    for token in tokens:
        name, equals, value = token.partition("=")
        if not equals or name not in {f.name for f in FORMATS[opcode].fields}:
            raise _fault(line, token, f"not a field of {opcode.name}, written name=value")
        if name not in fields:
            raise _fault(line, token, "given twice")
        index, item = fields.pop(name)
        row[OPERAND_COLUMN + index] = _value(line, token, opcode, item, value)
    if fields:
        raise _fault(line, opcode.name, f"missing {', '.join(fields)}")
    return row


def _waits(line: int, token: str) -> list[int]:
    parts = token.split(",")
    if len(parts) > WAITS:
        raise _fault(line, token, f"an instruction has at most {WAITS} waits")
    values = []
    for part in parts:
        unit, colon, count = part.partition(":")
        if not colon or unit not in Unit.__members__ or Unit[unit] > Unit.STORE:
            names = ", ".join(u.name for u in Unit if u <= Unit.STORE)
            raise _fault(line, part, f"a wait is UNIT:COUNT, with a unit of {names}")
        number = _number(line, count, part)
        if number >> COUNT_BITS:
            raise _fault(line, part, f"the count does not fit in {COUNT_BITS} bits")
        values += [int(Unit[unit]), number]
    return values + [0] * (2 * (WAITS - len(parts)))


def _value(line: int, token: str, opcode: Opcode, item: Field, text: str) -> int:
    symbols = SYMBOLS.get((opcode, item.name))
    if symbols is not None and text in symbols.__members__:
        return int(symbols[text])
    none = number_of_none(item.name)
    if none is not None and text == "none":
        return none
    if symbols is not None and not text[:1].isdecimal():
        raise _fault(line, token, f"{item.name} is one of {', '.join(symbols.__members__)}")
    value = _number(line, text, token)
    if value >> item.bits:
        raise _fault(line, token, f"{show(value)} does not fit in the {item.bits} bits of {item.name}")
    return value


def _number(line: int, text: str, token: str | None = None) -> int:
    """A number of at least 0, decimal or hexadecimal; ``token`` is what an error shows."""
    try:
        value = int(text, 0)
    except ValueError as error:
        raise _fault(line, token or text, f"{show(text)} is not a number") from error
    if value < 0:
        raise _fault(line, token or text, "numbers are not negative")
    return value


def replace_code(program: Program, assembly: Assembly) -> Program:
    """The program with other instructions, also in the pages of its DRAM image.

    Layers, placements and gates refer to instructions by number and the image holds the pages where the
    old ones lay, so that the count and the pages must stay; an instruction without work (LOAD with
    ``rows=0``) takes the place of one that is removed.
    """
    expected = {
        "arch": _arch_label(program),
        "code_address": str(program.code_address),
        "boot_count": str(program.boot_count),
    }
    for name in _HEADER:
        if assembly.header.get(name) != expected[name]:
            found = assembly.header.get(name, "missing")
            raise GatewrightError(f"the text's .{name} is {found}, but the program's is {expected[name]}")
    if len(assembly.code) != len(program.code):
        raise GatewrightError(
            f"the text has {len(assembly.code)} instructions, the program {len(program.code)}; the count must stay, "
            "since layers and placements refer to instructions by number (LOAD with rows=0 does nothing)"
        )
    if assembly.page_starts != program.page_starts:
        raise GatewrightError(f"the text's pages start at {assembly.page_starts}, the program's {program.page_starts}")
    data = np.frombuffer(encode(assembly.code), np.uint8)
    end = program.code_address + len(data)
    if end > len(program.image):
        raise GatewrightError(
            f"the code needs bytes {program.code_address} to {end} of an image of {len(program.image)}; "
            "the program's file is inconsistent, compile it again"
        )
    image = program.image.copy()
    image[program.code_address : end] = data
    return replace(program, code=assembly.code, image=image)
