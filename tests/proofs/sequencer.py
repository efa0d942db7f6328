"""The sequencer: every instruction of the program's path handed out once, in order, and nothing behind its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth import Mux, Signal, Value
from amaranth.lib import data

from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.isa import FORMATS, HEADER_BITS, QUEUED_UNITS, Opcode, Unit
from gatewright.contract.registers import ErrorCode
from gatewright.contract.timing import CONTROL_LATENCY
from gatewright.hw.control import sequencer as module
from gatewright.hw.control.fetch import ENTRY_BITS, FETCHED
from gatewright.hw.control.sequencer import Sequencer
from gatewright.hw.layouts import HEADER, PLACED, formats_of, operand_layout
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof
from tests.proofs.unknown import unknown_parts

_CONTROL = (Opcode.NEXT, Opcode.EXIT, Opcode.END)
assert set(_CONTROL) == {op for op, form in FORMATS.items() if form.unit == Unit.SEQUENCER}, "a new one needs its rules"


@dataclass(frozen=True)
class _State:
    """Where the program is: ``current``, the instruction whose turn it is, if there is one (``valid``).

    ``at``: its entry; ``next``: that of the one at fetch's head; ``age``: cycles of its turn, up to CONTROL_LATENCY;
    ``left``: the program decided to end; ``over``: it ended; ``failed``: it met an error; ``count``: turns so far.
    """

    valid: Signal
    current: Any
    at: Signal
    next: Signal
    age: Signal
    left: Signal
    over: Signal
    failed: Signal
    count: Signal

    @property
    def opcode(self) -> Any:
        return self.current.instruction[: HEADER["opcode"].width]

    def operands(self, opcode: Opcode) -> Any:
        """The fields of the current instruction as one of ``opcode``."""
        layout = operand_layout(opcode)
        return data.View(layout, self.current.instruction[HEADER_BITS : HEADER_BITS + layout.size])


def sequencer() -> Harness:
    """Fetch gives any instructions, one behind the other; waits, queues and mask bits are anything."""
    h = Harness()
    m = h.m
    with unknown_parts(module, "Fetch", "WaitComparison"):
        dut = Sequencer(ARCH)
        inside = Inside(dut)
    m.submodules.sequencer = inside.fragment
    fetch, met = inside.of(dut, "fetch"), inside.of(dut, "comparison").met
    h.free(dut.start, dut.halt, dut.code_address, dut.boot_count, dut.boot.done, dut.write, dut.full, dut.given)
    h.free(dut.completions.counts, dut.completions.retires, dut.completions.idle, dut.mask.value)
    # What fetch promises: its head stands still until it is taken or a jump drops it; nothing before the first jump.
    stays = h.before(fetch.present & ~fetch.take & ~fetch.jump, "stays")
    head = h.before(fetch.head, "head_before")
    h.assume(~stays | (fetch.present & (fetch.head == head)))
    jumped, started = Signal(), Signal()
    m.d.sync += [jumped.eq(jumped | fetch.jump), started.eq(started | dut.start)]
    h.assume(jumped | ~fetch.present)
    h.assume(~h.before(fetch.jump, "jump_before") | ~fetch.present)
    # One start, with a count that has stood still; the boot load is done behind it.
    h.assume(~dut.start | (~started & h.steady(dut.boot_count, "boot_count")))
    h.assume(~dut.boot.done | started)

    bits = {"at": ENTRY_BITS, "next": ENTRY_BITS, "age": range(CONTROL_LATENCY + 1), "count": 32, "current": FETCHED}
    s = _State(**{name: Signal(bits.get(name, 1), name=f"s_{name}") for name in _State.__dataclass_fields__})
    pushes, runs, leaves = dut.push.any(), inside.of(dut, "runs"), Signal()
    ends = (s.opcode == Opcode.END) | ((s.opcode == Opcode.EXIT) & dut.mask.value)
    m.d.comb += leaves.eq(runs & ends)
    m.d.sync += [
        s.valid.eq(~fetch.jump & (fetch.take | (s.valid & ~(pushes | runs)))),
        s.age.eq(Mux(fetch.take, 0, Mux(s.age == CONTROL_LATENCY, s.age, s.age + 1))),
        s.left.eq(s.left | leaves),
        s.over.eq(s.over | dut.stopped),
        s.count.eq(s.count + (pushes | runs)),
    ]
    with m.If(fetch.take):
        m.d.sync += [s.current.eq(fetch.head), s.at.eq(s.next), s.next.eq(s.next + 1)]
    with m.If(fetch.jump):
        m.d.sync += s.next.eq(fetch.target)
    _dispatch(h, dut, s, runs)
    _control(h, dut, s, fetch, runs, leaves, met)
    _ends(h, dut, s, fetch, runs)
    _boot(h, inside, dut, fetch, runs, s, started, jumped)
    _invariants(h, inside, dut, s)
    return h


def _dispatch(h: Harness, dut: Sequencer, s: _State, runs: Any) -> None:
    """What is handed to the queues."""
    good = s.valid & (s.current.error == ErrorCode.NONE) & ~(s.left | s.over | s.failed | dut.halt)
    pushes = dut.push.any()
    header = data.View(HEADER, s.current.instruction[:HEADER_BITS])
    for unit in QUEUED_UNITS:
        name, entry = unit.name.lower(), getattr(dut, f"entry_{unit.name.lower()}")
        mine = s.opcode.matches(*(form.opcode for form in formats_of(unit)))
        h.check(f"push_{name}", dut.push[unit] == (good & mine & ~dut.full[unit]))
        operands = Value.cast(entry.head.operands)
        same = (entry.waits == header.waits) & (
            operands == s.current.instruction[HEADER_BITS : HEADER_BITS + len(operands)]
        )
        if len(formats_of(unit)) > 1:
            same &= entry.head.opcode == s.opcode
        if unit in PLACED:
            same &= entry.head.place == s.current.place
        h.check(f"entry_{name}", ~dut.push[unit] | same)
    others = [bit for bit in range(len(dut.push)) if bit not in QUEUED_UNITS]
    h.check("no_other_queue", ~dut.push[others[0]] & ~dut.push[others[-1]])
    h.check("one_at_a_time", ~(pushes & runs) & (~pushes | ((dut.push & (dut.push - 1)) == 0)))
    for unit in QUEUED_UNITS:
        h.cover(f"pushes_{unit.name.lower()}", dut.push[unit])
    h.check("count", dut.dispatched == s.count)
    h.check("entry", ~s.valid | (dut.entry == s.at))


def _control(h: Harness, dut: Sequencer, s: _State, fetch: Any, runs: Any, leaves: Any, met: Any) -> None:
    """What the sequencer runs itself."""
    good = s.valid & (s.current.error == ErrorCode.NONE) & ~(s.left | s.over | s.failed | dut.halt)
    h.check("runs", runs == (good & s.opcode.matches(*_CONTROL) & met & (s.age == CONTROL_LATENCY)))
    h.check("nothing_lost", ~fetch.take | ~s.valid | dut.push.any() | runs)
    h.check("takes", fetch.take == (fetch.present & (~s.valid | dut.push.any() | runs)))
    next_runs = runs & (s.opcode == Opcode.NEXT)
    h.check("next_jumps", ~next_runs | (fetch.jump & (fetch.target == s.operands(Opcode.NEXT).entry)))
    exit_ = s.operands(Opcode.EXIT)
    asked = (dut.mask.mask == exit_.mask[: len(dut.mask.mask)]) & (dut.mask.bit == exit_.bit[: len(dut.mask.bit)])
    h.cover("next_jumps", next_runs)
    h.cover("exit_goes_on", runs & ~leaves & (s.opcode == Opcode.EXIT))
    h.check("asks_its_bit", ~s.valid | asked)
    h.check("control", dut.control == ((runs & ~leaves) | dut.stopped))


def _ends(h: Harness, dut: Sequencer, s: _State, fetch: Any, runs: Any) -> None:
    """The end, an error."""
    fails = s.valid & (s.current.error != ErrorCode.NONE) & ~(s.left | s.over | s.failed | dut.halt)
    code = Signal.like(dut.error_code)
    with h.m.If(fails):
        h.m.d.sync += [s.failed.eq(1), code.eq(s.current.error)]
    with h.m.If(dut.start & (dut.boot_count > ARCH.page_instructions)):
        h.m.d.sync += [s.failed.eq(1), code.eq(ErrorCode.FETCH_RANGE)]
    h.check("error", dut.error == s.failed)
    h.check("error_code", ~s.failed | (dut.error_code == code))
    h.check("stopped", dut.stopped == (s.left & dut.completions.idle & ~(s.over | s.failed | dut.halt)))
    h.cover("stopped", dut.stopped & (s.count == 3))
    h.cover("failed", dut.error & (s.count == 2))
    gone = s.left | s.over | s.failed
    h.check("nothing_behind_the_end", ~gone | ~(dut.push.any() | runs))


def _boot(
    h: Harness, inside: Inside, dut: Sequencer, fetch: Any, runs: Any, s: _State, started: Signal, jumped: Signal
) -> None:
    """Page 0, then its first instruction."""
    fits = dut.boot_count <= ARCH.page_instructions
    booting, begins = Signal(), Signal()
    h.m.d.comb += begins.eq(booting & dut.boot.done)
    with h.m.If(dut.start):
        h.m.d.sync += booting.eq(fits)
    with h.m.If(begins):
        h.m.d.sync += booting.eq(0)
    h.check("boot", dut.boot.start == (dut.start & fits))
    beats = dut.boot.beats == dut.boot_count * INSTRUCTION_BEATS
    h.check("boot_beats", ~dut.boot.start | (beats & (dut.boot.address == dut.code_address)))
    h.check("begins_at_0", ~begins | (fetch.jump & (fetch.target == 0)))
    h.check("jumps", fetch.jump == (begins | (runs & (s.opcode == Opcode.NEXT))))
    h.invariant("booting", inside.of(dut, "booting") == booting)
    h.invariant("one_boot", ~booting | (started & ~jumped & ~s.valid))
    h.invariant("no_jump_yet", jumped | ~s.valid)
    h.invariant("asleep", started | (~jumped & ~s.valid & ~booting & ~s.failed & ~s.left))


def _invariants(h: Harness, inside: Inside, dut: Sequencer, s: _State) -> None:
    current, bad, age = inside.of(dut, "current"), inside.of(dut, "bad"), inside.of(dut, "age")
    h.invariant("valid", inside.of(dut, "valid") == s.valid)
    h.invariant("current", ~s.valid | (current == s.current))
    h.invariant("bad", ~s.valid | (bad == (s.current.error != ErrorCode.NONE)))
    for opcode, line in inside.of(dut, "decoded").items():
        h.invariant(f"is_{opcode.name.lower()}", ~s.valid | (line == (s.opcode == opcode)))
    h.invariant("leaving", inside.of(dut, "leaving") == s.left)
    h.invariant("ended", inside.of(dut, "ended") == s.over)
    h.invariant("age", ~s.valid | (age == (1 << s.age) - 1))
    h.invariant("age_most", s.age <= CONTROL_LATENCY)
    h.invariant("next", dut.entry == Mux(s.valid, s.at, s.next))
    h.invariant("next_behind", ~s.valid | (s.next == (s.at + 1)[:ENTRY_BITS]))


_FILE = "hw/control/sequencer.py"

SEQUENCER = Proof(
    "sequencer",
    "Every instruction that fetch gives is handed to its unit's queue once, whole and as soon as there is room, or run "
    "once when its waits are met; NEXT jumps to its entry; nothing happens behind the end or an error.",
    sequencer,
    3,
    (
        Mutant(
            "sequencer-end-dispatches-one-more",
            _FILE,
            "turn.eq(valid & ~(bad | leaving | ended | self.error | self.halt))",
            "turn.eq(valid & ~(bad | ended | self.error | self.halt))",
            "instructions behind END run",
        ),
        Mutant(
            "sequencer-jump-keeps-its-instruction",
            _FILE,
            "valid.eq(~jump & (load | (valid & ~advance)))",
            "valid.eq(load | (valid & ~advance))",
            "the instruction behind NEXT runs too",
        ),
        Mutant(
            "sequencer-waits-not-compared-yet",
            _FILE,
            "return age[-1] & comparison.met",
            "return age[-2] & comparison.met",
            "an EXIT looks at the bit of the one before",
        ),
        Mutant(
            "sequencer-entry-off-by-one",
            _FILE,
            "with m.Elif(advance):",
            "with m.Elif(load):",
            "an error names the entry behind the instruction's",
        ),
    ),
    search=16,
)
