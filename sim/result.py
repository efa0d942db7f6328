"""What a run of the simulator gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gatewright.contract.trace import TRACE_DTYPE, Trace


@dataclass(frozen=True)
class MachineResult:
    """Cycles of one run, and what it left behind."""

    cycles: int
    trace: Trace
    outputs: dict[str, npt.NDArray[np.int8] | npt.NDArray[np.int32]]
    """What the program has left in DRAM for each of its outputs, as ``Program.values``."""
    dram: npt.NDArray[np.uint8]
    scratchpad: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    """[MASKS, MASK_BITS]"""
    tables: list[npt.NDArray[np.uint16]]
    """Each table's entries, as many as its count."""

    @property
    def logits(self) -> npt.NDArray[np.int32]:
        """Of the last classifier; empty without one."""
        found = [values.astype(np.int32) for values in self.outputs.values() if values.dtype == np.int32]
        return found[-1] if found else np.zeros(0, np.int32)


@dataclass(frozen=True)
class SimResult(MachineResult):
    """And its work, which the fast simulator adds.

    ``tensors`` holds, for an observed run, every placement that the run got to: maps int8
    [height, width, channels], compact maps with only their active channels, logits int32 [channels].
    """

    work: npt.NDArray[np.void]
    """One ``work.WORK_DTYPE`` record per executed instruction, like ``trace.records``."""
    tensors: dict[str, npt.NDArray[np.int8] | npt.NDArray[np.int32]] = field(default_factory=dict)
    gates: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    """For an observed run: the mask of each of the program's gates [bits], as its INDEX read it; all off where
    a SKIP left the INDEX out."""
    gates_of_images: list[dict[str, npt.NDArray[np.bool_]]] = field(default_factory=list)
    """For an observed run of several images: ``gates`` of each, those that it got to."""
    left_out: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, TRACE_DTYPE))
    """Of each instruction that a SKIP left out the cycle in which it had its turn, and the one behind it, as
    ``done``, from which on its unit's count includes it: TRACE_DTYPE records, in program order."""
