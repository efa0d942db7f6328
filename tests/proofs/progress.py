"""No deadlock: a program whose waits name earlier instructions alone comes to its end, with units that do theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from amaranth import Array, Mux, Signal
from amaranth.lib import data

from gatewright.contract.isa import COUNT_BITS, UNITS, WAITS, Unit
from gatewright.contract.timing import DECODE_LATENCY
from gatewright.hw.control.completions import Completions
from gatewright.hw.control.queue import InstructionQueue
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.proof import Proof

_UNITS = (Unit.INDEX, Unit.STORE)
_INSTRUCTIONS = 3
_WORK = 1
"""A unit works on an instruction for one cycle, or for one more."""

_END = 4 + _INSTRUCTIONS * (DECODE_LATENCY + 1 + _WORK)
"""The cycle in which the slowest program is over: reset, push, then each head has its preparation and its work."""

_COUNT = 2
"""Bits of a count in a wait of so short a program."""


def progress() -> Harness:
    """Two units with their queues, the completion counts, and any program of a few instructions for them."""
    h = Harness(resets=False)
    m = h.m
    m.submodules.completions = completions = Completions()
    program, units = _program(h)
    turn, done = Signal(range(_INSTRUCTIONS + 1)), Signal(range(_INSTRUCTIONS + 1))
    pushes, retires = Signal(UNITS), Signal(UNITS)
    for number, unit in enumerate(_UNITS):
        queue = InstructionQueue(unit, replace(ARCH, queue_depth=2))
        m.submodules[f"queue_{number}"] = queue
        working, cycles = Signal(), Signal(range(_WORK + 1))
        take, retire, push = Signal(), Signal(), Signal()
        m.d.comb += [
            queue.completions.counts.eq(completions.view.counts),
            queue.completions.retires.eq(completions.view.retires),
            push.eq((turn < _INSTRUCTIONS) & (Array(units)[turn] == number) & ~queue.full),
            queue.push.eq(push),
            queue.entry.waits.eq(Array(program)[turn]),
            take.eq(queue.unit.valid & queue.unit.waits_met & ~working),
            retire.eq(working & (h.any(1, f"retires_{number}") | (cycles == _WORK))),
            queue.unit.take.eq(take),
            pushes[unit].eq(push),
            retires[unit].eq(retire),
        ]
        m.d.sync += [
            working.eq(take | (working & ~retire)),
            cycles.eq(Mux(working & ~retire, cycles + 1, 0)),
        ]
        for place, wait in enumerate(queue.waits):
            count = Array([completions.view.counts[one] for one in range(UNITS)])[wait.unit]
            come = (wait.unit == Unit.NONE) | (count >= wait.count)
            h.check(f"waits_{number}_{place}", ~take | come)
    m.d.comb += [completions.give.eq(pushes), completions.retire.eq(retires)]
    elapsed = Signal(range(_END + 1))
    m.d.sync += [
        turn.eq(turn + pushes.any()),
        done.eq(done + sum(retires)),
        elapsed.eq(Mux(elapsed == _END, elapsed, elapsed + 1)),
    ]
    h.check("comes_to_its_end", (elapsed != _END) | (done == _INSTRUCTIONS))
    h.cover("all_done_in_a_chain", (done == _INSTRUCTIONS) & _chained(program, units))
    return h


def _program(h: Harness) -> tuple[list[Any], list[Signal]]:
    """Each instruction's waits, and which of the units it is for; a wait names no later instruction."""
    units = [h.constant(1, f"unit_{place}") for place in range(_INSTRUCTIONS)]
    program = []
    for place in range(_INSTRUCTIONS):
        waits = Signal(data.ArrayLayout(data.StructLayout({"unit": 4, "count": COUNT_BITS}), WAITS), name=f"of_{place}")
        for number in range(1):
            on, which = h.constant(1, f"on_{place}_{number}"), h.constant(1, f"which_{place}_{number}")
            count = h.constant(_COUNT, f"count_{place}_{number}")
            before = sum((unit == which for unit in units[:place]), start=which & ~which)
            h.assume(count <= before)
            unit = Mux(on, Mux(which, _UNITS[1], _UNITS[0]), Unit.NONE)
            h.m.d.comb += [waits[number].unit.eq(unit), waits[number].count.eq(count)]
        program.append(waits)
    return program, units


def _chained(program: list[Any], units: list[Signal]) -> Any:
    """Whether the second instruction waits for the first, of the other unit, and the third for the second."""
    first, second = program[1][0], program[2][0]
    alternate = (units[0] != units[1]) & (units[1] != units[2])
    return alternate & (first.count == 1) & (first.unit != Unit.NONE) & (second.count == 1) & (second.unit != Unit.NONE)


PROGRESS = Proof(
    "progress",
    f"Any program of {_INSTRUCTIONS} instructions for two units whose waits name earlier instructions comes to its "
    "end, and none starts before what it waits for is complete.",
    progress,
    _END + 3,
    (
        Mutant(
            "wait-one-short-is-met",
            "hw/control/queue.py",
            "met.append(holds | (needs & now))",
            "met.append(holds | needs)",
            "an instruction starts before what it waits for",
        ),
    ),
    search=_END + 3,
    bounded=True,
    quick=False,
)
