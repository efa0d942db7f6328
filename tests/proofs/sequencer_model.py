"""What the sequencer has to do by the rules of the machine, told from what fetch, queues and units say alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Mux, Signal
from amaranth.lib import data

from gatewright.contract.isa import HEADER_BITS, NO_TABLE, QUEUED_UNITS, WAITS, Opcode, Space, Unit
from gatewright.contract.registers import ErrorCode
from gatewright.contract.timing import CONTROL_LATENCY
from gatewright.hw.control.fetch import ENTRY_BITS, FETCHED
from gatewright.hw.control.sequencer import Sequencer
from gatewright.hw.layouts import HEADER, formats_of, operand_layout
from tests.hw.instructions import ARCH
from tests.proofs.harness import Harness

RUN_HERE = (Opcode.NEXT, Opcode.EXIT, Opcode.SKIP, Opcode.END)
"""The instructions that the sequencer runs itself, and whose rules are below."""


@dataclass(frozen=True)
class State:
    """Where the program is: ``current``, the instruction whose turn it is, if there is one (``valid``).

    ``at``: its entry; ``next``: that of the one at fetch's head; ``age``: cycles of its turn, up to CONTROL_LATENCY;
    ``held``: a SKIP was taken and waits; ``inside``: what follows is left out, ``rest`` instructions; ``left``: the
    image is about to end; ``again``: one ended in the cycle before, and others are left; ``booting``: page 0 is on its
    way; ``over``: the last one ended; ``failed``: it met an error; ``count``: turns so far.
    """

    valid: Signal
    current: Any
    at: Signal
    next: Signal
    age: Signal
    held: Signal
    inside: Signal
    rest: Signal
    left: Signal
    again: Signal
    booting: Signal
    over: Signal
    failed: Signal
    count: Signal

    @classmethod
    def made(cls) -> State:
        bits = {"at": ENTRY_BITS, "next": ENTRY_BITS, "age": range(CONTROL_LATENCY + 1), "count": 32}
        bits |= {"current": FETCHED, "rest": operand_layout(Opcode.SKIP)["instructions"].width}
        return cls(**{name: Signal(bits.get(name, 1), name=f"s_{name}") for name in cls.__dataclass_fields__})

    @property
    def opcode(self) -> Any:
        return self.current.instruction[: HEADER["opcode"].width]

    @property
    def page(self) -> Any:
        """Whether it is a LOAD of instructions."""
        return (self.opcode == Opcode.LOAD) & (self.operands(Opcode.LOAD).space == Space.INSTRUCTIONS)

    @property
    def of_load(self) -> Any:
        """Whether it is a LOAD, or waits for one."""
        waits = data.View(HEADER, self.current.instruction[:HEADER_BITS]).waits
        return (self.opcode == Opcode.LOAD) | Cat(waits[number].unit == Unit.LOAD for number in range(WAITS)).any()

    def operands(self, opcode: Opcode) -> Any:
        """The fields of the current instruction as one of ``opcode``."""
        layout = operand_layout(opcode)
        return data.View(layout, self.current.instruction[HEADER_BITS : HEADER_BITS + layout.size])


@dataclass(frozen=True)
class Now:
    """What has to happen in this cycle, by the rules of the contract."""

    pushes: Any
    runs: Any
    drops: Any
    seen: Any
    above: Any
    leaves: Any
    takes_skip: Any
    skipped: Any
    image_over: Any
    good: Any
    out: Any

    @property
    def advance(self) -> Any:
        return self.pushes | (self.runs & ~self.takes_skip) | self.skipped | self.drops


def follow(h: Harness, dut: Sequencer, s: State, fetch: Any, met: Any) -> Now:
    """What has to happen in this cycle, and the state in the next, but for what begins and ends a run."""
    m, now = h.m, _rules(h, dut, s, met)
    m.d.sync += [
        s.valid.eq(~fetch.jump & (fetch.take | (s.valid & ~now.advance))),
        s.age.eq(Mux(fetch.take, 0, Mux(s.age == CONTROL_LATENCY, s.age, s.age + 1))),
        s.held.eq(now.takes_skip | (s.held & ~now.skipped)),
        s.left.eq(now.leaves | (s.left & ~now.image_over)),
        s.again.eq(now.image_over & ~dut.last),
        s.over.eq(s.over | (now.image_over & dut.last)),
        s.count.eq(s.count + (now.advance & ~now.drops)),
    ]
    with m.If(now.skipped):
        m.d.sync += [s.rest.eq(s.operands(Opcode.SKIP).instructions)]
        m.d.sync += s.inside.eq(s.operands(Opcode.SKIP).instructions != 0)
    with m.Elif(s.inside & now.advance):
        m.d.sync += [s.rest.eq(s.rest - 1), s.inside.eq(s.rest != 1)]
    with m.If(now.image_over):
        m.d.sync += s.inside.eq(0)
    with m.If(fetch.take):
        m.d.sync += [s.current.eq(fetch.head), s.at.eq(s.next), s.next.eq(s.next + 1)]
    with m.If(fetch.jump):
        m.d.sync += s.next.eq(fetch.target)
    return now


def _rules(h: Harness, dut: Sequencer, s: State, met: Any) -> Now:
    """The contract's section 4, as far as it is the sequencer's."""
    stops = s.over | s.failed | dut.halt | s.again | s.booting
    good = s.valid & (s.current.error == ErrorCode.NONE) & ~(s.left | s.held | stops)
    is_load = s.opcode == Opcode.LOAD
    out = s.inside & ~(s.opcode.matches(Opcode.NEXT, Opcode.END) | s.page)
    ripe = (s.age == CONTROL_LATENCY) & met
    fields = s.operands(Opcode.EXIT)
    asked = Signal.like(dut.counts[0], name="asked")
    for table in range(ARCH.tables):
        with h.m.If(fields.count_table == table):
            h.m.d.comb += asked.eq(dut.counts[table])
    known = (fields.count_table < ARCH.tables) | (fields.count_table == NO_TABLE)
    h.assume(known | ~s.opcode.matches(Opcode.EXIT, Opcode.SKIP))
    seen = h.before(asked, "asked_before")
    above = h.before(seen > fields.most, "above_before")
    queued = Signal()
    for unit in QUEUED_UNITS:
        mine = s.opcode.matches(*(form.opcode for form in formats_of(unit)))
        with h.m.If(mine & ~dut.full[unit]):
            h.m.d.comb += queued.eq(1)
    runs = good & ~out & s.opcode.matches(*RUN_HERE) & ripe
    return Now(
        pushes=good & ~out & queued,
        runs=runs,
        drops=good & out & (~s.of_load | (ripe & (dut.load_idle | ~is_load))),
        seen=seen,
        above=above,
        leaves=runs & ((s.opcode == Opcode.END) | ((s.opcode == Opcode.EXIT) & above)),
        takes_skip=runs & (s.opcode == Opcode.SKIP) & ~above,
        skipped=s.held & dut.others_idle & ~stops,
        image_over=s.left & dut.completions.idle & ~stops,
        good=good,
        out=out,
    )
