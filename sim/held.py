"""Run a program whose gates decide what they are told: for questions of the kind "what if it had decided otherwise"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.sim.fast.run import Run

Outputs = dict[str, npt.NDArray[np.int8] | npt.NDArray[np.int32]]


def simulate_held(
    program: Program, sample: npt.NDArray[np.int8], decisions: Mapping[str, npt.NDArray[np.bool_]]
) -> tuple[int, Outputs]:
    """The cycles of a run, and its results by name, where each gate's mask is overwritten before it becomes a table.

    ``decisions``, bool by gate, must name every gate that the run gets to. Gates are evaluated as ever: what they cost
    is in the cycles. A program that was compiled for an image must have been compiled for these decisions.
    """
    run, ended = Run(program, program.with_sample(sample)), False
    for gate in sorted(program.gates, key=lambda one: one.index_instruction):
        ended = run.advance(gate.index_instruction + 1)
        if ended:
            break
        if gate.name not in decisions:
            raise GatewrightError(f"gate {gate.name} is not among those that are held; name them all")
        mask = run.state.masks[gate.mask :].reshape(-1)[: gate.bits]
        mask[:] = decisions[gate.name].reshape(-1)
    if not ended:
        run.advance()
    _, cycles = run.schedule()
    return cycles, program.values(run.state.dram)
