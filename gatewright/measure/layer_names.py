"""Which layer answers for an instruction."""

from __future__ import annotations

import bisect

from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program

BOOT_LAYER = "boot"
"""The layer that answers for the first page of instructions, which no instruction loads."""

_ADDRESS = column(Opcode.LOAD, "dram_address")


def answering_layers(program: Program) -> list[str]:
    """The layer of every row of ``program.code``.

    Weights are read ahead, while an earlier layer runs: a LOAD from a region of weights belongs to
    the layer whose weights they are. A layer with several regions names them ``layer.part``.
    """
    weights = sorted((r.address, r.address + r.size, r.name) for r in program.regions if r.kind == "weights")
    starts = [begin for begin, _, _ in weights]
    layers = list(program.layers)
    for number, row in enumerate(program.code):
        if row[0] != Opcode.LOAD:
            continue
        found = bisect.bisect_right(starts, int(row[_ADDRESS])) - 1
        if found >= 0 and int(row[_ADDRESS]) < weights[found][1]:
            name = weights[found][2]
            owner = next((n for n in (name, name.rpartition(".")[0]) if n in program.layer_kinds), None)
            layers[number] = owner or layers[number]
    return layers
