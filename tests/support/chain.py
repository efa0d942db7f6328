"""One link of the chain: an image's run on the simulator against the integer reference, byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import Decisions
from gatewright.compiler.graph.reference import ReferenceResult
from gatewright.contract.isa import Opcode
from gatewright.contract.program import Program
from gatewright.contract.program_parts import Placement
from gatewright.sim.fast.machine import simulate
from gatewright.sim.result import SimResult


@dataclass(frozen=True)
class Comparison:
    """How much was compared, and the names of the tensors and gates that differ."""

    tensors: int
    values: int
    gate_bits: int
    different: tuple[str, ...]
    result: SimResult
    program: Program


def compare_image(
    compiler: Compiler,
    sample: npt.NDArray[np.int8],
    reference: ReferenceResult,
    position: int,
    *,
    audit: bool = False,
    live: Program | None = None,
) -> Comparison:
    """Compile, run and compare one image of a reference that kept its tensors; or run it with a ``live`` program."""
    decisions = reference.decisions_of(position)
    program = compiler.compile(decisions, sample) if live is None else replace(live, image=live.with_sample(sample))
    result = simulate(program, observe=True, audit=audit)
    different, values = [], 0
    taken = program.left_at(result.dram)
    end = None if taken == len(program.exits) else program.exits[taken].instruction
    for placement in program.placements:
        if end is not None and placement.last_write > end:
            continue  # it lies behind the exit that was taken
        got, wanted = result.tensors[placement.tensor], _expected(placement, reference, position, decisions)
        mask = _defined(placement, decisions)
        values += got[mask].size
        if got.shape != wanted.shape or not np.array_equal(got[mask], wanted[mask]):
            different.append(placement.tensor)
    bits = 0
    for gate in program.gates:
        if end is not None and gate.index_instruction > end:
            continue
        bits += gate.bits
        if not np.array_equal(result.gates[gate.name], decisions[gate.name].reshape(-1)):
            different.append(gate.name)
    expected = reference.outputs_of(position)
    if result.outputs.keys() != expected.keys():
        different.append("the names of outputs")
    different += [f"{n} in DRAM" for n, values in result.outputs.items() if not np.array_equal(values, expected[n])]
    return Comparison(len(program.placements), values, bits, tuple(different), result, program)


def _expected(
    placement: Placement, reference: ReferenceResult, position: int, decisions: Decisions
) -> npt.NDArray[np.int8] | npt.NDArray[np.int32]:
    if placement.kind == "logits":
        return reference.outputs[placement.tensor][position]
    tensor = reference.tensors[placement.tensor][position]
    return tensor if placement.channel_gate is None else tensor[..., decisions[placement.channel_gate]]


def _defined(placement: Placement, decisions: Decisions) -> npt.NDArray[np.bool_]:
    """Pixels whose bytes the machine promises: outside active tiles an intermediate map is undefined."""
    if placement.kind == "logits":
        return np.ones(placement.channels, np.bool_)
    pixels = np.ones((placement.height, placement.width), np.bool_)
    if placement.spatial_gate is not None:
        decision = decisions[placement.spatial_gate]
        tile = -(-placement.height // decision.shape[0])
        pixels = np.kron(decision, np.ones((tile, tile), np.bool_))[: placement.height, : placement.width]
    return pixels


def opcodes(program: Program) -> set[Opcode]:
    """The kinds of instructions in a program."""
    return {Opcode(int(value)) for value in np.unique(program.code[:, 0])}
