"""The self-test of a machine: one program that goes through every memory and every unit, and what it must give.

Its text is assembled for the machine, and its results are the simulator's. A board's driver runs it as any program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.bringup import memory_steps, unit_steps
from gatewright.bringup.script import Script
from gatewright.contract.arch import ArchConfig
from gatewright.contract.program import Program
from gatewright.sim.fast.machine import simulate
from gatewright.sim.result import SimResult

Step = Callable[[Script, np.random.Generator], None]

STEPS: dict[str, Step] = {
    "scratchpad": memory_steps.scratchpad,
    "patch_buffer": memory_steps.patch_buffer,
    "weight_buffer": memory_steps.weight_buffer,
    "accumulators": memory_steps.accumulators,
    "parameters": memory_steps.parameters,
    "tables": memory_steps.tables,
    "masks": unit_steps.masks,
    "layer": unit_steps.layer,
}
"""In the order in which they run: each uses what the ones before it have shown. Outputs' names begin with a step's."""

SEED = 20240229
"""Of the fillings."""


@dataclass(frozen=True)
class SelfTest:
    """The program, its text, and what the simulator makes of it: outputs by name as int8, cycles, instructions."""

    program: Program
    text: str
    result: SimResult

    @property
    def expected(self) -> dict[str, npt.NDArray[np.int8]]:
        """Every output's bytes."""
        return {name: values.astype(np.int8).reshape(-1) for name, values in self.result.outputs.items()}


def self_test(arch: ArchConfig) -> SelfTest:
    """The self-test for a machine, simulated. The audit has no complaint: no two units race for a byte."""
    script = Script(arch)
    for name, step in STEPS.items():
        script.step = name
        step(script, np.random.default_rng([SEED, list(STEPS).index(name)]))
    program, text = script.program()
    return SelfTest(program, text, simulate(program))
