"""How long each image of a program that runs several at a time is under way."""

from __future__ import annotations

import numpy as np

from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.trace import Trace


def latencies(program: Program, trace: Trace) -> list[int]:
    """Of each image the cycles from the first LOAD of its input to the end of its last STORE. ``trace`` of one run."""
    records, code = trace.records, program.code
    rows = records["instruction"]
    address = code[:, column(Opcode.LOAD, "dram_address")]
    loads = (code[:, 0] == Opcode.LOAD) & (code[:, column(Opcode.LOAD, "ring")] == 1)
    stores = code[:, 0] == Opcode.STORE
    address = np.where(stores, code[:, column(Opcode.STORE, "dram_address")], address)
    count = len(program.outputs) // program.images
    found = []
    for number in range(program.images):
        first = program.input_region.address + number * program.input_stride
        own = loads & (address >= first) & (address < first + program.input_region.size)
        regions = [output.region for output in program.outputs[number * count : (number + 1) * count]]
        low, high = min(r.address for r in regions), max(r.address + r.size for r in regions)
        given = stores & (address >= low) & (address < high)
        found.append(int(records["done"][given[rows]].max() - records["run"][own[rows]].min()))
    return found
