"""Make a failing program smaller: instructions that the failure does not need are left without work.

An instruction keeps its place and its unit, so that all waits stay true; only its work is taken away.
"""

from __future__ import annotations

from collections.abc import Callable

from gatewright.contract.isa import Opcode, Space, column
from gatewright.contract.program import Program
from gatewright.verify.kit.programs import with_code

NOTHING: dict[Opcode, dict[str, int]] = {
    Opcode.LOAD: {"rows": 0},
    Opcode.GATHER: {"tile_count": 0},
    Opcode.MATMUL: {"pixel_count": 0},
    Opcode.EPILOGUE: {"pixel_count": 0},
    Opcode.INDEX: {"bits": 0},
    Opcode.STORE: {"beats": 0},
}


def idle(program: Program, rows: list[int]) -> Program:
    """The program with some instructions left without work."""
    code = program.code.copy()
    for row in rows:
        opcode = Opcode(int(code[row, 0]))
        for name, value in NOTHING[opcode].items():
            code[row, column(opcode, name)] = value
    return with_code(program, code)


def _may_idle(program: Program, row: int) -> bool:
    opcode = Opcode(int(program.code[row, 0]))
    pages = opcode == Opcode.LOAD and program.code[row, column(opcode, "space")] == Space.INSTRUCTIONS
    return opcode in NOTHING and not pages


def shrink(program: Program, fails: Callable[[Program], bool]) -> tuple[Program, list[int]]:
    """The smallest failing program found, and the instructions that still work. ``fails`` decides on each trial."""
    working = [row for row in range(len(program.code)) if _may_idle(program, row)]
    idled: list[int] = []
    size = max(1, len(working) // 2)
    while size:
        position = 0
        while position < len(working):
            trial = working[position : position + size]
            if fails(idle(program, idled + trial)):
                idled += trial
                del working[position : position + size]
            else:
                position += size
        size //= 2
    return idle(program, idled), working
