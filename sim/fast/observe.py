"""Tensors of the quantised graph, read from the scratchpad at the moment they are final."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.contract.program_parts import GateRecord, Placement
from gatewright.sim.fast.state import State

Tensor = npt.NDArray[np.int8] | npt.NDArray[np.int32]


def read_placement(
    program: Program, placement: Placement, state: State, gates: Mapping[str, npt.NDArray[np.bool_]]
) -> Tensor:
    """A private copy of the tensor that a placement describes; ``gates`` are the decisions so far."""
    channels = placement.channels
    if placement.kind == "compact":
        channels = _active_channels(program, placement, gates)
    pitch = placement.pitch or channels
    shape = (placement.height, placement.width, pitch)
    size = LOGIT_BYTES * placement.channels if placement.kind == "logits" else int(np.prod(shape))
    data = state.scratchpad[placement.address : placement.address + size]
    if len(data) < size:
        raise GatewrightError(
            f"placement of {placement.tensor}: {size} bytes at {placement.address} do not fit "
            f"the scratchpad of {len(state.scratchpad)} bytes; compile the program for this architecture"
        )
    if placement.kind == "logits":
        return np.frombuffer(data.tobytes(), "<i4").astype(np.int32)
    if placement.kind not in ("map", "compact"):
        raise GatewrightError(f"placement of {placement.tensor}: unknown kind {placement.kind!r}")
    return data.reshape(shape)[..., :channels].copy()


def read_gate(gate: GateRecord, state: State) -> npt.NDArray[np.bool_]:
    """The mask that a gate's INDEX read; what a program was compiled for it must be."""
    mask = state.masks[gate.mask :].reshape(-1)[: gate.bits].copy()
    if gate.decision and not np.array_equal(mask, np.asarray(gate.decision, np.bool_)):
        different = int(np.count_nonzero(mask != np.asarray(gate.decision, np.bool_)))
        raise GatewrightError(
            f"gate {gate.name}: {different} of {gate.bits} decisions differ from those that the program was compiled "
            "for; compile it for this sample"
        )
    return mask


def _active_channels(program: Program, placement: Placement, gates: Mapping[str, npt.NDArray[np.bool_]]) -> int:
    name = placement.channel_gate
    if name is None:
        return placement.channels
    compiled = next((gate.decision for gate in program.gates if gate.name == name), ())
    if compiled:
        return sum(compiled)
    if name not in gates:
        raise GatewrightError(
            f"placement of {placement.tensor}: gate {name!r} has not decided when it is complete; compile it again"
        )
    return int(np.count_nonzero(gates[name]))
