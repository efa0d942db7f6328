"""Random programs with more waits than they need: any opcode behind any unit.

What a program needs to wait for says its data flow, and that is always much the same: a GATHER never needs an INDEX
that is not its own. The hardware compares any wait of any instruction. A wait more names an earlier instruction, so it
makes the program later and changes nothing else.
"""

from __future__ import annotations

import numpy as np

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import FORMATS, QUEUED_UNITS, WAITS, Opcode, Unit
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_programs import Network, random_network
from gatewright.verify.kit.programs import with_code

SEEDS = 0x3A17
"""Sets the draws of the waits apart from those of the programs."""


def with_more_waits(program: Program, rng: np.random.Generator) -> Program:
    """The program, in which every other free wait of an instruction names a unit that the others do not.

    Mostly its latest instruction so far, or one of the two before.
    """
    code, given = program.code.copy(), dict.fromkeys(QUEUED_UNITS, 0)
    for row in code:
        for wait in range(WAITS):
            named = {int(row[1 + 2 * other]) for other in range(WAITS)}
            units = [unit for unit in QUEUED_UNITS if given[unit] and unit not in named]
            if row[1 + 2 * wait] == Unit.NONE and units and rng.integers(2):
                unit = units[int(rng.integers(len(units)))]
                row[1 + 2 * wait : 3 + 2 * wait] = unit, max(1, given[unit] - int(rng.choice([0, 0, 0, 1, 2])))
        if (unit := FORMATS[Opcode(int(row[0]))].unit) in given:
            given[unit] += 1
    return with_code(program, code)


def random_waits(seed: int, arch: ArchConfig | None = None) -> tuple[Network, Program]:
    """A network, its expectations and its program, for a machine or for the one of the seed."""
    network, program = random_corners(seed, arch) if seed % 2 else random_network(seed, arch)
    return network, with_more_waits(program, np.random.default_rng([SEEDS, seed]))
