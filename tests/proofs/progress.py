"""No deadlock: a program whose waits name earlier instructions alone comes to its end, with units that do theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from amaranth import Array, Cat, Const, Module, Mux, Signal

from gatewright.contract.isa import OPCODE_BITS, UNITS, WAITS, Opcode, Space, Unit
from gatewright.hw.control import sequencer as module
from gatewright.hw.control.completions import Completions
from gatewright.hw.control.fetch import Fetch
from gatewright.hw.control.queue import InstructionQueue
from gatewright.hw.control.sequencer import Sequencer
from gatewright.hw.layouts import INSTRUCTION_BITS, WAIT, operand_layout
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof

_UNITS = {Opcode.LOAD: Unit.LOAD, Opcode.STORE: Unit.STORE}
"""LOAD, of which a SKIP has rules of its own, and one of the others."""

_OPCODES = (*_UNITS, Opcode.EXIT, Opcode.SKIP)
_AWAITED = (Unit.NONE, *_UNITS.values())

_INSTRUCTIONS = 3
"""In front of END."""

_WORK = 1
"""A unit works on its instructions for one cycle, or each for one more."""

_END = 36
"""The cycle in which the slowest program is over."""


@dataclass(frozen=True)
class _Instruction:
    """Constants of the proof. ``kind``: LOAD, STORE, EXIT or SKIP. ``waits``: for nothing, or for all before it of LOAD
    or of STORE: there are ``count``.

    ``flag``: a LOAD is one of instructions; an EXIT and a SKIP ask for a table of one entry, not of none, whether there
    is one. ``leaves``: what a SKIP leaves out.
    """

    kind: Signal
    waits: Signal
    flag: Signal
    leaves: Signal
    count: Any

    def has(self, opcode: Opcode) -> Any:
        return self.kind == _OPCODES.index(opcode)

    @property
    def bits(self) -> Any:
        wait = Cat(_padded(Array(_AWAITED)[self.waits], WAIT["unit"].width), _padded(self.count, WAIT["count"].width))
        others = Const(0, (WAITS - 1) * WAIT.size)
        load = _operands(Opcode.LOAD, space=Mux(self.flag, Space.INSTRUCTIONS, Space.SCRATCHPAD))
        skip = _operands(Opcode.SKIP, count_table=self.flag, instructions=self.leaves)
        operands = Mux(self.has(Opcode.LOAD), load, Mux(self.has(Opcode.STORE), 0, skip))
        return Cat(_padded(Array(_OPCODES)[self.kind], OPCODE_BITS), wait, others, operands)[:INSTRUCTION_BITS]


def _padded(value: Any, width: int) -> Any:
    return Cat(value, Const(0, width))[:width]


def _operands(opcode: Opcode, **fields: Any) -> Any:
    layout = operand_layout(opcode)
    return Cat(_padded(fields.get(name, Const(0, 1)), field.width) for name, field in layout)


def _given_by(present: Signal, instruction: Signal) -> Callable[[Any], Fetch]:
    """Fetch that gives these, whatever it is."""

    class Given(Fetch):
        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.d.comb += [self.present.eq(present), self.head.instruction.eq(instruction)]
            return m

    return Given


def progress() -> Harness:
    """The sequencer, two units' queues and the counts, and any short program; the units' work is waiting."""
    h = Harness(resets=False)
    m = h.m
    program = _program(h)
    present, instruction, place = Signal(), Signal(INSTRUCTION_BITS), Signal(range(_INSTRUCTIONS + 2))
    dut = Sequencer(ARCH)
    with patch.object(module, "Fetch", _given_by(present, instruction)):
        inside = Inside(dut)
    m.submodules.sequencer, fetch = inside.fragment, inside.of(dut, "fetch")
    m.submodules.completions = completions = Completions()
    on, booted, booting, begun = (Signal(name=name) for name in ("on", "booted", "booting", "begun"))
    m.d.sync += [
        booting.eq(1),
        begun.eq(booting),
        on.eq(fetch.jump | on),
        place.eq(Mux(fetch.jump, 0, place + fetch.take)),
        booted.eq(dut.boot.start),
    ]
    end = Const(Opcode.END, INSTRUCTION_BITS)
    m.d.comb += [
        present.eq(on & (place <= _INSTRUCTIONS)),
        instruction.eq(Array([*(one.bits for one in program), end])[place]),
        dut.start.eq(booting & ~begun),
        dut.boot_count.eq(_INSTRUCTIONS + 1),
        dut.boot.done.eq(booted),
        dut.last.eq(1),
        dut.counts[1].eq(1),
        *_joined(dut, completions),
    ]
    elapsed = Signal(range(_END + 1))
    m.d.sync += elapsed.eq(Mux(elapsed == _END, _END, elapsed + 1))
    over = elapsed == _END
    retires = [_unit(h, dut, completions, unit, over) for unit in _UNITS.values()]
    m.d.comb += [completions.retire[unit].eq(retire) for unit, retire in zip(_UNITS.values(), retires, strict=True)]
    _ends(h, inside, dut, completions, program, over)
    return h


def _joined(dut: Sequencer, completions: Completions) -> list[Any]:
    """As ``hw/top.py`` joins them."""
    view = completions.view
    return [
        completions.give.eq(dut.push),
        completions.left_out.eq(dut.left_out),
        completions.clear.eq(dut.image_over),
        dut.given.eq(completions.given),
        dut.load_idle.eq(completions.load_idle),
        dut.others_idle.eq(completions.others_idle),
        dut.completions.counts.eq(view.counts),
        dut.completions.retires.eq(view.retires),
        dut.completions.idle.eq(view.idle),
    ]


def _unit(h: Harness, dut: Sequencer, completions: Completions, unit: Unit, over: Any) -> Signal:
    """A unit behind its queue that takes a head as soon as it may; returns its retirements."""
    m, name = h.m, unit.name.lower()
    queue = InstructionQueue(unit, replace(ARCH, queue_depth=2))
    m.submodules[f"queue_{name}"] = queue
    working, cycles = Signal(), Signal(range(_WORK + 1))
    take, retire = Signal(name=f"take_{name}"), Signal(name=f"retire_{name}")
    m.d.comb += [
        queue.completions.counts.eq(completions.view.counts),
        queue.completions.retires.eq(completions.view.retires),
        queue.push.eq(dut.push[unit]),
        queue.entry.eq(getattr(dut, f"entry_{name}")),
        dut.full[unit].eq(queue.full),
        take.eq(queue.unit.valid & queue.unit.waits_met & ~working),
        retire.eq(working & (cycles == h.constant(range(_WORK + 1), f"work_{name}"))),
        queue.unit.take.eq(take),
    ]
    m.d.sync += [working.eq(take | (working & ~retire)), cycles.eq(Mux(working & ~retire, cycles + 1, 0))]
    wait = queue.waits[0]
    count = Array(completions.view.counts[one] for one in range(UNITS))[wait.unit]
    _throughout(h, f"waits_{name}", ~take | (wait.unit == Unit.NONE) | (count >= wait.count), over)
    idle = completions.given[unit] == completions.view.counts[unit]
    _throughout(h, f"leaves_out_idle_{name}", ~dut.left_out[unit] | idle, over)
    return retire


def _program(h: Harness) -> list[_Instruction]:
    """Any instructions; behind what a SKIP leaves out something follows. Constants that mean nothing are 0."""
    bits = {"kind": range(len(_OPCODES)), "waits": range(len(_AWAITED)), "leaves": range(_INSTRUCTIONS)}
    names = [name for name in _Instruction.__dataclass_fields__ if name != "count"]
    program: list[_Instruction] = []
    for place in range(_INSTRUCTIONS):
        constants = {name: h.constant(bits.get(name, 1), f"{name}_{place}") for name in names}
        before = [sum((one.has(opcode) for one in program), Const(0, 1)) for opcode in _UNITS]
        one = _Instruction(**constants, count=Array([Const(0, 1), *before])[constants["waits"]])
        h.assume((one.waits < len(_AWAITED)) & ((one.waits == 0) | (one.count != 0)))
        h.assume(place + one.leaves < _INSTRUCTIONS)
        h.assume((one.has(Opcode.SKIP) | (one.leaves == 0)) & ~(one.has(Opcode.STORE) & one.flag))
        program.append(one)
    return program


def _throughout(h: Harness, name: str, condition: Any, over: Any) -> None:
    """The property that ``condition`` has been true up to the end. Solvers take one question for many."""
    wrong = Signal(name=f"wrong_{name}")
    h.m.d.sync += wrong.eq(wrong | ~condition)
    h.check(name, ~over | ~wrong)


def _ends(
    h: Harness, inside: Inside, dut: Sequencer, completions: Completions, program: list[_Instruction], over: Any
) -> None:
    """The program stops within its time, without an error, when each of its instructions is complete."""
    stopped, whole = Signal(), Signal()
    last = inside.of(dut, "leaves") & (inside.of(dut, "current").instruction[:OPCODE_BITS] == Opcode.END)
    h.m.d.sync += [stopped.eq(stopped | dut.stopped), whole.eq(whole | last)]
    h.check("comes_to_its_end", ~over | stopped)
    _throughout(h, "no_error", ~dut.error, over)
    for opcode, unit in _UNITS.items():
        done, mine = completions.view.counts[unit], sum((one.has(opcode) for one in program), Const(0, 1))
        complete = (completions.given[unit] == done) & (~whole | (done == mine))
        _throughout(h, f"complete_{unit.name.lower()}", ~dut.stopped | complete, over)
    first, second, third = program
    stores = _AWAITED.index(Unit.STORE)
    left_out = first.has(Opcode.SKIP) & (first.leaves == 2) & second.has(Opcode.LOAD) & ~first.flag
    h.cover("leaves_out_two", dut.stopped & whole & left_out)
    h.cover("exits", dut.stopped & ~whole & second.has(Opcode.EXIT) & (second.waits != 0))
    chained = first.has(Opcode.LOAD) & (second.waits != 0) & third.has(Opcode.LOAD) & (third.waits == stores)
    h.cover("a_chain", dut.stopped & chained)


PROGRESS = Proof(
    "progress",
    f"Any program of {_INSTRUCTIONS} instructions and END, LOADs, STOREs, SKIPs and EXITs whose waits name earlier "
    "ones, comes to its end; none starts before what it waits for is complete, and what is left out counts.",
    progress,
    _END + 2,
    (
        Mutant(
            "wait-one-short-is-met",
            "hw/control/queue.py",
            "met.append(holds | (needs & now))",
            "met.append(holds | needs)",
            "an instruction starts before what it waits for",
        ),
        Mutant(
            "left-out-counts-as-given-only",
            "hw/control/completions.py",
            "with m.If(retire | self.left_out[unit]):",
            "with m.If(retire):",
            "whoever waits for what a SKIP leaves out waits for ever",
        ),
        Mutant(
            "skip-waits-for-itself",
            "hw/control/sequencer.py",
            "holding.eq(skips | (holding & ~skipped))",
            "holding.eq(skips | holding)",
            "behind a closed block the machine stands still",
        ),
    ),
    search=_END + 2,
    bounded=True,
    quick=False,
)
