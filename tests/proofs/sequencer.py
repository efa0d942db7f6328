"""The sequencer: every instruction of the program's path handed out or left out once, and nothing behind its end."""

from __future__ import annotations

from typing import Any

from amaranth import Mux, Signal, Value
from amaranth.lib import data

from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import FORMATS, HEADER_BITS, QUEUED_UNITS, Opcode, Unit
from gatewright.contract.registers import ErrorCode
from gatewright.contract.timing import CONTROL_LATENCY
from gatewright.hw.control import sequencer as module
from gatewright.hw.control.fetch import ENTRY_BITS
from gatewright.hw.control.sequencer import Sequencer
from gatewright.hw.layouts import HEADER, PLACED, formats_of
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof
from tests.proofs.sequencer_model import RUN_HERE, Now, State, follow
from tests.proofs.unknown import unknown_parts


def sequencer() -> Harness:
    """Fetch gives any instructions, one behind the other; waits, queues and tables' counts are anything."""
    strange = {op.name for op, form in FORMATS.items() if form.unit == Unit.SEQUENCER} ^ {op.name for op in RUN_HERE}
    if strange:
        raise GatewrightError(f"tests/proofs/sequencer.py lacks rules of {', '.join(sorted(strange))}; write them")
    h = Harness()
    m = h.m
    with unknown_parts(module, "Fetch", "WaitComparison"):
        dut = Sequencer(ARCH)
        inside = Inside(dut)
    m.submodules.sequencer = inside.fragment
    fetch, met = inside.of(dut, "fetch"), inside.of(dut, "comparison").met
    h.free(dut.start, dut.halt, dut.code_address, dut.boot_count, dut.boot.done, dut.write, dut.full, dut.given)
    h.free(dut.completions.counts, dut.completions.retires, dut.completions.idle, dut.load_idle, dut.others_idle)
    h.free(dut.counts, dut.last, dut.input_place, dut.output_place)
    # What fetch promises: its head stands still until it is taken or a jump drops it; nothing before the first jump.
    stays = h.before(fetch.present & ~fetch.take & ~fetch.jump, "stays")
    head = h.before(fetch.head, "head_before")
    h.assume(~stays | (fetch.present & (fetch.head == head)))
    jumped, started = Signal(), Signal()
    m.d.sync += [jumped.eq(jumped | fetch.jump), started.eq(started | dut.start)]
    h.assume(jumped | ~fetch.present)
    h.assume(~h.before(fetch.jump, "jump_before") | ~fetch.present)

    s = State.made()
    # One start, with a count that has stood still, as it does between images; the boot load is done behind it.
    begins = dut.start | s.again
    h.assume(~dut.start | ~started)
    h.assume(~begins | h.steady(dut.boot_count, "boot_count"))
    h.assume(~dut.boot.done | started)
    now = follow(h, dut, s, fetch, met)
    _dispatch(h, dut, s, now)
    _control(h, inside, dut, s, fetch, now)
    _ends(h, dut, s, now, begins)
    _boot(h, dut, s, fetch, now, begins, started, jumped)
    _invariants(h, inside, dut, s, jumped)
    return h


def _dispatch(h: Harness, dut: Sequencer, s: State, now: Now) -> None:
    """What is handed to the queues, or left out."""
    header = data.View(HEADER, s.current.instruction[:HEADER_BITS])
    for unit in QUEUED_UNITS:
        name, entry = unit.name.lower(), getattr(dut, f"entry_{unit.name.lower()}")
        mine = s.opcode.matches(*(form.opcode for form in formats_of(unit)))
        h.check(f"push_{name}", dut.push[unit] == (now.good & ~now.out & mine & ~dut.full[unit]))
        h.check(f"leaves_out_{name}", dut.left_out[unit] == h.before(now.drops & mine, f"left_out_{name}"))
        operands = Value.cast(entry.head.operands)
        same = (entry.waits == header.waits) & (
            operands == s.current.instruction[HEADER_BITS : HEADER_BITS + len(operands)]
        )
        if len(formats_of(unit)) > 1:
            same &= entry.head.opcode == s.opcode
        if unit in PLACED:
            same &= entry.head.place == s.current.place
        h.check(f"entry_{name}", ~dut.push[unit] | same)
        h.cover(f"pushes_{name}", dut.push[unit])
        h.cover(f"leaves_out_{name}", dut.left_out[unit])
    others = [bit for bit in range(len(dut.push)) if bit not in QUEUED_UNITS]
    h.check("no_other_queue", ~dut.push[others[0]] & ~dut.push[others[-1]])
    h.check("of_no_other", ~dut.left_out[others[0]] & ~dut.left_out[others[-1]])
    for name, line in (("push", dut.push), ("left_out", dut.left_out)):
        h.check(f"one_{name}", (line & (line - 1)) == 0)
    h.check("one_at_a_time", ~(dut.push.any() & now.runs) & ~((dut.push.any() | now.runs) & now.drops))
    h.check("count", dut.dispatched == s.count)
    h.check("entry", ~s.valid | (dut.entry == s.at))


def _control(h: Harness, inside: Inside, dut: Sequencer, s: State, fetch: Any, now: Now) -> None:
    """What the sequencer runs itself."""
    h.check("runs", inside.of(dut, "runs") == now.runs)
    h.check("nothing_lost", ~fetch.take | ~s.valid | now.advance)
    h.check("takes", fetch.take == (fetch.present & (~s.valid | now.advance)))
    next_runs = now.runs & (s.opcode == Opcode.NEXT)
    h.check("next_jumps", ~next_runs | (fetch.jump & (fetch.target == s.operands(Opcode.NEXT).entry)))
    h.cover("next_jumps", next_runs)
    h.cover("next_among_what_is_left_out", next_runs & s.inside)
    h.cover("exit_goes_on", now.runs & ~now.leaves & (s.opcode == Opcode.EXIT))
    h.cover("exit_ends", now.leaves & (s.opcode == Opcode.EXIT))
    h.cover("skip_is_not_taken", now.runs & ~now.takes_skip & (s.opcode == Opcode.SKIP))
    quiet = now.leaves | now.takes_skip
    h.check("control", dut.control == ((now.runs & ~quiet) | now.skipped | now.image_over))
    seen, above = inside.of(dut, "_count_above.count"), inside.of(dut, "above")
    h.invariant("count_is_read", ~s.valid | (s.age < 1) | (seen == now.seen))
    h.invariant("count_is_compared", ~s.valid | (s.age < 2) | (above == now.above))


def _ends(h: Harness, dut: Sequencer, s: State, now: Now, begins: Any) -> None:
    """The end, an error."""
    stops = s.over | s.failed | dut.halt | s.again | s.booting
    fails = s.valid & (s.current.error != ErrorCode.NONE) & ~(s.left | stops)
    code = Signal.like(dut.error_code)
    with h.m.If(fails):
        h.m.d.sync += [s.failed.eq(1), code.eq(s.current.error)]
    with h.m.If(begins & (dut.boot_count > ARCH.page_instructions)):
        h.m.d.sync += [s.failed.eq(1), code.eq(ErrorCode.FETCH_RANGE)]
    h.check("error", dut.error == s.failed)
    h.check("error_code", ~s.failed | (dut.error_code == code))
    h.check("image_over", dut.image_over == now.image_over)
    h.check("stopped", dut.stopped == (now.image_over & dut.last))
    h.cover("stopped", dut.stopped & (s.count == 3))
    h.cover("another_image", dut.image_over & ~dut.last)
    h.cover("failed", dut.error & (s.count == 2))
    gone = s.left | s.over | s.failed | s.held | s.again | s.booting
    h.check("nothing_behind_the_end", ~gone | ~(dut.push.any() | now.drops | now.runs))


def _boot(
    h: Harness, dut: Sequencer, s: State, fetch: Any, now: Now, begins: Any, started: Signal, jumped: Signal
) -> None:
    """Page 0, then its first instruction; for every image."""
    fits = dut.boot_count <= ARCH.page_instructions
    arrived = Signal()
    h.m.d.comb += arrived.eq(s.booting & dut.boot.done)
    with h.m.If(begins):
        h.m.d.sync += s.booting.eq(fits)
    with h.m.If(arrived):
        h.m.d.sync += s.booting.eq(0)
    h.check("boot", dut.boot.start == (begins & fits))
    beats = dut.boot.beats == dut.boot_count * INSTRUCTION_BEATS
    h.check("boot_beats", ~dut.boot.start | (beats & (dut.boot.address == dut.code_address)))
    h.check("begins_at_0", ~arrived | (fetch.jump & (fetch.target == 0)))
    h.check("jumps", fetch.jump == (arrived | (now.runs & (s.opcode == Opcode.NEXT))))
    h.invariant("no_jump_yet", jumped | ~(s.valid | s.left | s.held | s.again | s.over))
    asleep = ~(jumped | s.valid | s.booting | s.failed | s.left | s.held | s.inside | s.again | s.over)
    h.invariant("asleep", started | asleep)


def _invariants(h: Harness, inside: Inside, dut: Sequencer, s: State, jumped: Any) -> None:
    current, bad, age = inside.of(dut, "current"), inside.of(dut, "bad"), inside.of(dut, "_control_waits.age")
    h.invariant("valid", inside.of(dut, "valid") == s.valid)
    h.invariant("current", ~s.valid | (current == s.current))
    h.invariant("bad", ~s.valid | (bad == (s.current.error != ErrorCode.NONE)))
    lines, sleeps = inside.of(dut, "lines"), s.left | s.again | s.booting | s.over | s.failed
    for opcode, line in lines.decoded.items():
        h.invariant(f"is_{opcode.name.lower()}", ~s.valid | (line == (s.opcode == opcode)))
    out = s.inside & ~(s.opcode.matches(Opcode.NEXT, Opcode.END) | s.page)
    for unit in QUEUED_UNITS:
        mine, name = s.opcode.matches(*(form.opcode for form in formats_of(unit))), unit.name.lower()
        h.invariant(f"of_{name}", ~s.valid | (lines.of_unit[unit] == mine))
        h.invariant(f"goes_to_{name}", ~s.valid | sleeps | (lines.goes_to[unit] == (mine & ~out)))
    h.invariant("is_load_now", ~s.valid | (lines.load == (s.opcode == Opcode.LOAD)))
    h.invariant("slow", ~s.valid | (lines.slow == s.of_load))
    h.invariant("is_left_out", ~s.valid | sleeps | (lines.left_out == out))
    h.invariant("is_control", ~s.valid | sleeps | (lines.control == (s.opcode.matches(*RUN_HERE) & ~out)))
    over = inside.of(dut, "over")
    later = s.again | (s.booting & jumped) | s.over
    h.invariant("leaving", s.failed | (inside.of(dut, "leaving") == (s.left | later)))
    h.invariant("over", s.failed | (over == later))
    h.invariant("holding", inside.of(dut, "holding") == s.held)
    h.invariant("held", ~s.held | (s.valid & (s.opcode == Opcode.SKIP) & ~s.left & ~s.inside))
    states = (s.held, s.left, s.booting, s.again, s.over)
    h.invariant("one_state", sum(Value.cast(state) for state in states) <= 1)
    h.invariant("held_is_good", ~s.held | (s.current.error == ErrorCode.NONE))
    h.invariant("inside", inside.of(dut, "_inside.inside") == s.inside)
    h.invariant("rest", ~s.inside | (inside.of(dut, "left") == s.rest))
    h.invariant("again", inside.of(dut, "again") == s.again)
    h.invariant("booting", inside.of(dut, "booting") == s.booting)
    h.invariant("age", ~s.valid | (age == (1 << s.age) - 1))
    h.invariant("age_most", s.age <= CONTROL_LATENCY)
    h.invariant("next", dut.entry == Mux(s.valid, s.at, s.next))
    h.invariant("next_behind", ~s.valid | (s.next == (s.at + 1)[:ENTRY_BITS]))


_FILE = "hw/control/sequencer.py"

SEQUENCER = Proof(
    "sequencer",
    "Every instruction that fetch gives is handed to its unit's queue once, whole and as soon as there is room, run "
    "once when its waits are met, or left out; NEXT jumps to its entry; nothing happens behind the end or an error.",
    sequencer,
    3,
    (
        Mutant(
            "sequencer-end-dispatches-one-more",
            _FILE,
            "turn.eq(valid & ~(bad | leaving | holding | stops))",
            "turn.eq(valid & ~(bad | holding | stops))",
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
            "return age[-1], comparison.met",
            "return age[-2], comparison.met",
            "an EXIT looks at the count of the one before",
        ),
        Mutant(
            "sequencer-entry-off-by-one",
            _FILE,
            "with m.Elif(advance):",
            "with m.Elif(load):",
            "an error names the entry behind the instruction's",
        ),
        Mutant(
            "sequencer-leaves-out-before-the-units-are-idle",
            _FILE,
            "skipped.eq(holding & self.others_idle & ~stops)",
            "skipped.eq(holding & ~stops)",
            "what is left out counts as complete before what came before it",
        ),
        Mutant(
            "sequencer-leaves-out-pages",
            _FILE,
            "(head.opcode.matches(Opcode.NEXT, Opcode.END) | pages)",
            "head.opcode.matches(Opcode.NEXT, Opcode.END)",
            "the page behind a closed block never comes",
        ),
        Mutant(
            "sequencer-goes-on-between-images",
            _FILE,
            "leaving.eq(leaves | (leaving & ~started))",
            "leaving.eq(leaves | (leaving & ~self.image_over))",
            "behind an image the rest of its last page runs again",
        ),
    ),
    search=16,
)
