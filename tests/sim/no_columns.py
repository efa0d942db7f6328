"""Random programs in which some instructions make maps of no columns: they work, and write nothing."""

from __future__ import annotations

import numpy as np

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import NO_TABLE, EpilogueKind, Opcode, column
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_programs import random_network
from gatewright.verify.kit.programs import with_code


def program_of_no_taps(seed: int, arch: ArchConfig) -> Program:
    """A program of layers or of corners with ``out_width`` 0 in every TAPS: no bit of its gates is written."""
    _, program = random_network(seed, arch) if seed % 2 else random_corners(seed, arch)
    code = program.code.copy()
    kind, width = column(Opcode.EPILOGUE, "kind"), column(Opcode.EPILOGUE, "out_width")
    code[(code[:, 0] == Opcode.EPILOGUE) & (code[:, kind] == EpilogueKind.TAPS), width] = 0
    return with_code(program, code)


def program_of_no_columns(seed: int, arch: ArchConfig) -> Program:
    """A program of layers or of corners with ``out_width`` 0 in one or two GATHERs and EPILOGUEs without a tile table.

    Later instructions read what is no longer written: zeros, on a machine that has run no other program.
    """
    _, program = random_network(seed, arch) if seed % 2 else random_corners(seed, arch)
    code = program.code.copy()
    named = [
        (number, opcode)
        for number, opcode in enumerate(Opcode(int(row[0])) for row in code)
        if opcode in (Opcode.GATHER, Opcode.EPILOGUE) and code[number, column(opcode, "tile_table")] == NO_TABLE
    ]
    rng = np.random.default_rng([0xC01, seed])
    for chosen in rng.permutation(len(named))[: int(rng.integers(1, 3))]:
        number, opcode = named[chosen]
        code[number, column(opcode, "out_width")] = 0
    return with_code(program, code)
