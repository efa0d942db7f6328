"""Waits, completion counts, and the head of an instruction queue."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import and_
from typing import Any

from amaranth import Array, Mux, Signal

from gatewright.contract.isa import COUNT_BITS, QUEUED_UNITS, UNITS, Unit
from gatewright.contract.timing import DECODE_LATENCY
from gatewright.hw.control.completions import Completions
from gatewright.hw.control.queue import InstructionQueue, WaitComparison
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof

_MARGIN = 8
"""A wait may name a count less than half the counts' circle away; this many from the edge, so that it stays so."""


def count_of(counts: Any, unit: Any) -> Any:
    """The count of a unit that a wait may name."""
    return Array([counts[number] for number in range(UNITS)])[unit]


def reached(counts: Any, wait: Any) -> Any:
    """What a wait says: nothing, or the unit completed so many, on a circle of 2**16."""
    ahead = (count_of(counts, wait.unit) - wait.count)[:COUNT_BITS]
    return (wait.unit == Unit.NONE) | (ahead < 1 << (COUNT_BITS - 1))


def wait_comparison() -> Harness:
    """Counts that begin anywhere and rise by the retires."""
    h = Harness()
    m = h.m
    m.submodules.comparison = comparison = WaitComparison()
    retires = h.any(UNITS, "retires")
    waits = h.any(comparison.waits.shape(), "waits")
    m.d.comb += [comparison.waits.eq(waits), comparison.retires.eq(retires)]
    for unit in range(UNITS):
        begin, risen = h.constant(COUNT_BITS, f"begin_{unit}"), Signal(COUNT_BITS, name=f"risen_{unit}")
        m.d.sync += risen.eq(risen + retires[unit])
        m.d.comb += comparison.counts[unit].eq(begin + risen)
    for wait in waits:
        h.assume(wait.unit.matches(Unit.NONE, *QUEUED_UNITS))
        edge = (count_of(comparison.counts, wait.unit) - wait.count)[:COUNT_BITS]
        half = 1 << (COUNT_BITS - 1)
        h.assume((edge < half - _MARGIN) | (edge >= half + _MARGIN))

    # Cycles for which the waits have stood still; the reset begins anew.
    last, still = Signal.like(waits, name="last"), Signal(range(WaitComparison.LATENCY + 1))
    stands = Signal()
    m.d.comb += stands.eq((last == waits) & (still != 0))
    m.d.sync += last.eq(waits)
    m.d.sync += still.eq(Mux(stands, Mux(still == WaitComparison.LATENCY, still, still + 1), 1))
    h.cover(
        "comes", (still == WaitComparison.LATENCY) & stands & comparison.met & ~h.before(comparison.met, "met_before")
    )
    h.check(
        "met",
        ~(stands & (still == WaitComparison.LATENCY))
        | (comparison.met == reduce(and_, (reached(comparison.counts, wait) for wait in waits))),
    )
    return h


def completions() -> Harness:
    """Units that complete no more than they were given; a SKIP that leaves out what is for a unit with nothing to do.

    Behind an image all begins again; then everything is complete.
    """
    h = Harness()
    m = h.m
    dut = Completions()
    inside = Inside(dut)
    m.submodules.completions = inside.fragment
    h.free(dut.give, dut.retire, dut.left_out, dut.clear)
    registers = inside.all_of(dut)
    over, quiet = [], Signal(2)
    m.d.sync += quiet.eq(Mux(dut.give.any(), 0, Mux(quiet == 2, 2, quiet + 1)))
    for unit in QUEUED_UNITS:
        name = unit.name.lower()
        given, done = (Signal(COUNT_BITS, name=f"{kind}_{name}") for kind in ("given", "done"))
        left_out = dut.left_out[unit]
        with m.If(dut.clear):
            m.d.sync += [given.eq(0), done.eq(0)]
        with m.Else():
            m.d.sync += [given.eq(given + dut.give[unit] + left_out), done.eq(done + dut.retire[unit] + left_out)]
        h.assume(~dut.retire[unit] | (given != done))
        # As the proof progress shows; the next instruction of the unit may be given in the same cycle.
        h.assume(~left_out | (given == done))
        h.assume(~dut.clear | ((given == done) & ~dut.give[unit] & ~left_out))
        h.assume(~dut.give[unit] | ((given - done)[:COUNT_BITS] != (1 << COUNT_BITS) - 1))
        h.check(f"given_{name}", dut.given[unit] == given)
        h.check(f"done_{name}", dut.view.counts[unit] == done)
        left = registers[f"left_{name}"]
        h.invariant(f"left_{name}", left == (given - done)[:COUNT_BITS])
        over.append(given == done)
    first = QUEUED_UNITS[0]
    h.cover("idle_again", dut.view.idle & (dut.view.counts[first] == 2))
    h.cover("left_out_and_given", dut.left_out[first] & dut.give[first])
    h.cover("another_image", h.before(dut.clear & (dut.given[first] == 1), "cleared") & dut.give[first])
    h.check("retires", dut.view.retires == dut.retire)
    # Nothing was given in the two cycles before, nor in this one.
    h.check("idle", (quiet != 2) | dut.give.any() | (dut.view.idle == reduce(and_, over)))
    return h


def instruction_queue(unit: Unit, depth: int) -> Harness:
    """A unit that takes a valid head whenever it likes."""
    h = Harness()
    m = h.m
    queue = InstructionQueue(unit, replace(ARCH, queue_depth=depth))
    inside = Inside(queue)
    m.submodules.queue = inside.fragment
    heads = inside.of(queue, "queue")
    h.free(queue.push, queue.entry, queue.unit.take, queue.completions.counts, queue.completions.retires)
    h.assume(~queue.push | ~queue.full)
    h.assume(~queue.unit.take | queue.unit.valid)
    age, held = Signal(range(DECODE_LATENCY + 1)), Signal(range(depth + 1))
    m.d.sync += held.eq(held + queue.push - queue.unit.take)
    with m.If(queue.unit.take | (held == 0)):
        m.d.sync += age.eq(0)
    with m.Elif(age != DECODE_LATENCY):
        m.d.sync += age.eq(age + 1)
    before, waits = h.before(queue.unit.head, "head_before"), h.before(queue.waits, "waits_before")
    h.cover("second_valid", queue.unit.valid & (held == depth))
    h.check("valid", queue.unit.valid == (age == DECODE_LATENCY))
    h.check("still", (age == 0) | ((queue.unit.head == before) & (queue.waits == waits)))
    h.check("full", queue.full == (held == depth))
    h.invariant("present", heads.present == (held != 0))
    h.invariant("count", inside.of(heads, "count") == Mux(held == 0, 0, held - 1))
    bits = inside.of(queue, "age")
    h.invariant("age", bits == (1 << age) - 1)
    h.invariant("aged", (age == 0) | (held != 0))
    return h


_QUEUE, _COMPLETIONS = "hw/control/queue.py", "hw/control/completions.py"

WAITS_AND_COUNTS = (
    Proof(
        "wait-comparison",
        "From LATENCY cycles after the waits stand still, met says in each cycle whether the counts have come to them.",
        wait_comparison,
        4,
        (
            Mutant(
                "wait-now-forgotten",
                _QUEUE,
                "met.append(holds | (needs & now))",
                "met.append(holds)",
                "met comes a cycle late",
            ),
            Mutant(
                "wait-two-needed-one-taken",
                _QUEUE,
                "((low == 2) & two)))",
                "((low == 2) & one)))",
                "met comes an instruction early",
            ),
        ),
        quick=False,
    ),
    Proof(
        "completions",
        "The counts are the numbers of gives and retires since the image's begin, with what is left out in both; idle "
        "says whether they agree, where nothing was just given.",
        completions,
        3,
        (
            Mutant(
                "completions-idle-early",
                _COMPLETIONS,
                "(was[2] & less & retire)",
                "(was[2] & (less | retire))",
                "a run ends while a unit works",
            ),
            Mutant(
                "completions-give-hides-retire",
                _COMPLETIONS,
                "left.eq(left + self.give[unit] - retire)",
                "left.eq(left + self.give[unit] - (retire & ~self.give[unit]))",
                "an instruction that is given while another completes leaves the machine busy for ever",
            ),
            Mutant(
                "completions-one-of-two-given",
                _COMPLETIONS,
                "Cat(self.left_out[unit], self.give[unit])",
                "Cat(Const(0, 1), self.left_out[unit] | self.give[unit])",
                "behind what a SKIP left out a wait for the last instruction that was given is refused",
            ),
        ),
    ),
    Proof(
        "instruction-queue",
        "A head is valid from DECODE_LATENCY cycles after it came, until it is taken, and stands still.",
        lambda: instruction_queue(Unit.STORE, 3),
        2,
        (
            Mutant(
                "head-valid-of-the-one-before",
                _QUEUE,
                "age.eq(Mux(self.unit.take, 0, Cat(queue.present, age[:-1])))",
                "age.eq(Cat(queue.present & ~self.unit.take, age[:-1]))",
                "a unit takes a head whose sizes are not worked out",
            ),
        ),
        search=18,
    ),
)
