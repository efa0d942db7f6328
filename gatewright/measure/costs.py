"""What the instructions of a program cost, each by itself: what an order of several images is made with."""

from __future__ import annotations

from gatewright.compiler.interleave.order import Cost
from gatewright.contract.isa import Unit
from gatewright.contract.program import Program
from gatewright.contract.timing import DECODE_LATENCY, LOAD_LATENCY
from gatewright.sim.fast.machine import simulate

_TURN = 3
"""Cycles from the end of an instruction to the next one's begin, of units that do one thing at a time; about."""

_BETWEEN_BURSTS = 2
"""Cycles of the data channel that a LOAD of a few bursts takes besides its beats; about."""


def instruction_costs(program: Program) -> list[Cost]:
    """Run a program on the samples in its image; the costs of each instruction, by its row (0 if it did not run)."""
    result = simulate(program)
    costs = [Cost(0, 0)] * len(program.code)
    for record, work in zip(result.trace.records, result.work, strict=True):
        taken, unit = int(record["done"] - record["run"]), Unit(int(record["unit"]))
        busy = max(1, int(work["cycles"]))
        if unit == Unit.ARRAY:
            cost = Cost(max(busy, DECODE_LATENCY + 1), max(1, taken - busy))
        elif unit == Unit.LOAD:
            cost = Cost(busy + _BETWEEN_BURSTS, LOAD_LATENCY + program.arch.dram.latency)
        else:
            cost = Cost(max(1, taken) + _TURN, 1)
        costs[int(record["instruction"])] = cost
    return costs
