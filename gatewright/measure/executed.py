"""A run's instructions in the program's order, those that a SKIP left out among them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode
from gatewright.contract.program import Program
from gatewright.contract.trace import Trace
from gatewright.sim.fast.work import WORK_DTYPE


def with_left_out(
    program: Program, trace: Trace, work: npt.NDArray[np.void], left_out: npt.NDArray[np.void]
) -> tuple[Trace, npt.NDArray[np.void]]:
    """The trace and the work of all instructions up to the image's end.

    ``left_out``: as ``SimResult`` has it. The work of one that is left out is nothing, but for its opcode.
    Raises ``GatewrightError`` for a run of several images, and ``ValueError`` if instructions are missing.
    """
    numbers = trace.records["instruction"]
    if (np.diff(numbers) <= 0).any():
        raise GatewrightError("the run is one of several images; measure the program on one image at a time")
    nothing = np.zeros(len(left_out), WORK_DTYPE)
    nothing["opcode"], nothing["left_out"] = program.code[left_out["instruction"], 0], 1
    records = np.concatenate([trace.records, left_out])
    order = np.argsort(records["instruction"], kind="stable")
    records = records[order]
    missing = np.flatnonzero(records["instruction"] != np.arange(len(records)))
    if len(missing):
        number = int(missing[0])
        name = Opcode(int(program.code[number, 0])).name if number < len(program.code) else "none of the program's"
        raise ValueError(f"the trace lacks instruction {number} ({name})")
    return Trace(records, trace.cycles), np.concatenate([work, nothing])[order]
