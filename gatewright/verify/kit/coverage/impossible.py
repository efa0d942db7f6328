"""What no program can reach, and why: so that what was not reached means something."""

from __future__ import annotations

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import FORMATS, QUEUED_UNITS, EpilogueKind, Opcode, Unit
from gatewright.verify.kit.coverage.edges import EDGES
from gatewright.verify.kit.coverage.held import ONE_AT_A_TIME, Held

NO_SUCH_SIZE = "it has no such size"

OF_QUEUES = (Held.QUEUE, Held.HEAD, Held.UNIT, Held.OPERAND, Held.ORDER, Held.PRELOAD)
OF_ENDS = tuple(Held[f"IDLE_{unit.name}"] for unit in QUEUED_UNITS)


def why_not_held(opcode: Opcode, held: Held) -> str | None:
    """Why nothing can hold an instruction of ``opcode`` so; None if it can be."""
    unit = FORMATS[opcode].unit
    if unit == Unit.SEQUENCER:
        if held in OF_QUEUES:
            return "it runs in the sequencer, and is in no queue"
        if held in OF_ENDS and opcode == Opcode.NEXT:
            return "it waits for no unit to be idle"
        if held == Held.IDLE_LOAD and opcode == Opcode.SKIP:
            return "LOAD goes on behind a SKIP"
        return None
    if held in OF_ENDS:
        return "only what ends an image, or leaves instructions out, waits for idle units"
    if held in (Held.OPERAND, Held.ORDER) and opcode != Opcode.MATMUL:
        return "it is no MATMUL"
    if held == Held.PRELOAD and opcode != Opcode.EPILOGUE:
        return "EPILOGUE alone reads parameters"
    if held == Held.HEAD and unit not in (Unit.LOAD, Unit.ARRAY):
        return "its unit is busy with the one before for longer than decoding takes"
    if unit in ONE_AT_A_TIME and held == Held[unit.name]:
        return "its unit takes it when the one before is complete, so the unit itself holds it"
    return None


def why_no_edge(opcode: Opcode, name: str, arch: ArchConfig) -> str | None:
    """Why an instruction of ``opcode`` on this machine cannot have an edge; None if it can."""
    edge = next(edge for edge in EDGES if edge.name == name)
    if opcode not in edge.opcodes:
        if opcode == Opcode.MATMUL and name.startswith("tile cut"):
            return "MATMUL knows no map: it multiplies vectors, those outside as well"
        if opcode == Opcode.GATHER and name.startswith("tile cut"):
            return "GATHER knows the columns of its output and not the rows"
        return NO_SUCH_SIZE
    if name == f"kind {EpilogueKind.DEPTHWISE.name}" and not arch.depthwise:
        return "the machine has no depthwise"
    return None
