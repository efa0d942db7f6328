"""Run a program and count what each of its instructions accesses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.isa import Opcode
from gatewright.contract.program import Program
from gatewright.sim.counts.epilogue import epilogue
from gatewright.sim.counts.gather import gather
from gatewright.sim.counts.movers import index, load, matmul, store
from gatewright.sim.counts.ports import ACCESSES, Counts, Executed
from gatewright.sim.fast import work
from gatewright.sim.fast.run import Run
from gatewright.sim.fast.state import State

_OF_OPCODE: dict[Opcode, Callable[[Executed], Counts]] = {
    Opcode.LOAD: load,
    Opcode.GATHER: gather,
    Opcode.MATMUL: matmul,
    Opcode.EPILOGUE: epilogue,
    Opcode.INDEX: index,
    Opcode.STORE: store,
}


def count_accesses(program: Program, sample: npt.NDArray[np.int8] | None = None) -> npt.NDArray[np.int64]:
    """What a run of one image accesses, [instructions + 1, len(ACCESSES)].

    The first row is the boot page's LOAD, the others are the program's. An instruction that a SKIP leaves out is read,
    and no more; rows behind an early end are zeros.
    """
    found = np.zeros((len(program.code) + 1, len(ACCESSES)), np.int64)
    beats = program.boot_count * INSTRUCTION_BEATS
    _add(found[0], {"dram.read": beats * BEAT_BYTES, "instructions.write": program.boot_count})
    run, ended, number = Run(program, program.with_sample(sample)), False, 0
    while not ended:
        ended = run.advance(number + 2)
        row, done = run.executed[number + 1], run.work[number + 1]
        _add(found[number + 1], {"instructions.read": 1})
        if not done[work.LEFT_OUT]:
            _add(found[number + 1], _of_one(program.arch, run.state, row, done))
        number += 1
    return found


def _of_one(arch: ArchConfig, state: State, row: npt.NDArray[np.int64], done: npt.NDArray[np.int64]) -> Counts:
    opcode = Opcode(int(row[0]))
    if opcode not in _OF_OPCODE:
        return {}
    by_name = {name: int(value) for name, value in zip(work.FIELDS, done, strict=True)}
    return _OF_OPCODE[opcode](Executed(arch, state, opcode, row, by_name))


def _add(row: npt.NDArray[np.int64], counts: Counts) -> None:
    for name, count in counts.items():
        row[_PLACE[name]] += count


_PLACE = {name: place for place, name in enumerate(ACCESSES)}
