"""One program on both simulators."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.fast.machine import simulate
from gatewright.sim.result import MachineResult
from gatewright.sim.stepped import step_simulate
from gatewright.verify.kit.generate.builder import Map


def run_both(program: Program) -> MachineResult:
    """What both simulators leave, with the audit: their cycles and bytes are the same, and no wait is missing."""
    fast, stepped = simulate(program, audit=True), step_simulate(program, fill_seed=1)
    assert first_difference(fast.trace, stepped.trace) is None
    written = np.flatnonzero(fast.scratchpad)
    np.testing.assert_array_equal(fast.scratchpad[written], stepped.scratchpad[written])
    np.testing.assert_array_equal(fast.dram, stepped.dram)
    return stepped


def contents(result: MachineResult, target: Map) -> npt.NDArray[np.int8]:
    """What a map's place holds at the end."""
    left = result.scratchpad.view(np.int8)[target.address : target.address + target.values.size]
    return left.reshape(target.values.shape)
