"""LOAD's completions: in order, each once, and none before its data are where they belong."""

from __future__ import annotations

from amaranth import Cat, Const, Signal

from gatewright.contract.timing import LOAD_LATENCY
from gatewright.hw.load import unit as module
from gatewright.hw.load.unit import LoadUnit
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof
from tests.proofs.unknown import unknown_parts

_WORKS = ARCH.dram.outstanding + 1
"""Loads whose last beat is still to come: ``load-bus`` shows that there are no more."""
_UNDER_WAY = range(_WORKS + LOAD_LATENCY + 2)


def load_order() -> Harness:
    """Loads of any sizes, whose last beats come at will, in order; the boot load between two images."""
    h = Harness()
    m = h.m
    with unknown_parts(module, "LoadPreparation", "BurstIssue", "LoadWriter"):
        unit = LoadUnit(ARCH)
        inside = Inside(unit)
    m.submodules.load = inside.fragment
    h.free(unit.queue.head, unit.queue.valid, unit.queue.waits_met, unit.boot.start, unit.boot.address)
    h.free(unit.boot.beats, unit.base, unit.counts, unit.halt)
    h.free(unit.bus.ar_ready, unit.bus.r_valid, unit.bus.r_data, unit.bus.r_response, unit.bus.r_last)
    issue, writer = inside.of(unit, "issue"), inside.of(unit, "writer")
    take, last, empty = unit.queue.take, writer.last, inside.of(unit, "order").empty
    boots, booting, retire = unit.boot.start, Signal(), unit.progress.retire
    line, pending, waiting = (inside.of(unit, name) for name in ("line", "pending", "waiting"))

    works, over, flying = Signal(_UNDER_WAY), Signal(), sum(line, start=Const(0, 1))
    starts = issue.start
    m.d.sync += works.eq(works + starts - last)
    h.assume(~last | (works != 0))
    h.assume(~starts | (works != _WORKS))
    # Between two images nothing is under way, and none begins before page 0 has arrived.
    m.d.comb += over.eq(booting & line[-1])
    m.d.sync += booting.eq(boots | (booting & ~over))
    h.assume(~boots | ((pending == 0) & ~waiting & ~empty))
    h.assume(~(take & (booting | boots)))
    h.check("boot_done", ~h.before(over, "over_before") | unit.boot.done)
    h.check("boot_begins", ~h.before(boots, "boots_before") | ~unit.boot.done)
    h.check("boot_counts_for_nothing", ~booting | ~retire)
    _follow(h, unit, inside, works, booting)
    h.check("one_empty", ~(take & waiting))
    h.invariant("pending", pending == works + flying)
    h.invariant("most", works <= _WORKS)
    h.invariant("booting", inside.of(unit, "booting") == booting)
    h.invariant("boot_alone", ~booting | (~waiting & (works + flying == 1)))
    h.invariant("nothing", ~inside.of(unit, "nothing") | ~waiting | (pending == 0))
    countdown, due = inside.of(unit, "countdown"), inside.of(unit, "due")
    h.invariant("countdown", countdown <= LOAD_LATENCY - 2)
    h.invariant("due", ~(due & waiting) | (countdown == 0))
    return h


def _follow(h: Harness, unit: LoadUnit, inside: Inside, works: Signal, booting: Signal) -> None:
    """Any one load, from its take on: ``ahead`` have not retired, ``works_ahead`` have not had their last beats."""
    m, take, retire = h.m, unit.queue.take, unit.progress.retire
    line, pending, waiting = (inside.of(unit, name) for name in ("line", "pending", "waiting"))
    last, empty = inside.of(unit, "writer").last, inside.of(unit, "order").empty
    on, work, ahead, works_ahead = Signal(), Signal(), Signal(_UNDER_WAY), Signal(_UNDER_WAY)
    tags, arrived, age = Signal(LOAD_LATENCY), Signal(), Signal(range(LOAD_LATENCY))
    begins, comes, ends = Signal(), Signal(), Signal()
    m.d.comb += [
        begins.eq(take & ~on & h.any(1, "begin")),
        comes.eq(on & work & ~arrived & last & (works_ahead == 0)),
        ends.eq(on & retire & (ahead == 0)),
    ]
    m.d.sync += [tags.eq(Cat(comes, tags[:-1])), on.eq(begins | (on & ~ends))]
    with m.If(begins):
        m.d.sync += [work.eq(~empty), ahead.eq(pending + waiting - retire), works_ahead.eq(works - last)]
        m.d.sync += [arrived.eq(0), age.eq(1)]
    with m.Else():
        m.d.sync += [ahead.eq(ahead - (retire & (ahead != 0))), age.eq(age + (age != LOAD_LATENCY - 1))]
        m.d.sync += [works_ahead.eq(works_ahead - (last & (works_ahead != 0))), arrived.eq(arrived | comes)]
    h.check("with_data", ~(on & work) | (ends == tags[-1]))
    # Behind those before it, and not sooner than its cycle.
    h.check("without_rows", ~(on & ~work & ends) | (age == LOAD_LATENCY - 1))
    h.cover("empty_behind_others", ends & ~work & h.before(retire, "retired_before"))
    h.cover("empty_in_its_cycle", ends & ~work & (pending == 0) & h.before(age == LOAD_LATENCY - 2, "age_before"))
    h.cover("two_wait", on & work & (works_ahead == 2) & (ahead == 3))
    flying = sum(line, start=Const(0, 1))
    h.invariant("f_waits", ~(on & work & ~arrived) | ((ahead == works_ahead + flying) & (works > works_ahead)))
    h.invariant("f_tags", (tags == 0) | (on & work & arrived))
    h.invariant("f_somewhere", ~(on & work & arrived) | (tags != 0))
    for stage in range(LOAD_LATENCY):
        older = sum(line[stage + 1 :], start=Const(0, 1))
        h.invariant(f"f_stage_{stage}", ~tags[stage] | (line[stage] & (tags == 1 << stage) & (ahead == older)))
    countdown = inside.of(unit, "countdown")
    h.invariant("f_empty", ~(on & ~work) | (waiting & (ahead == pending)))
    h.invariant("f_age", ~(on & ~work) | (countdown + age == LOAD_LATENCY - 1))
    h.invariant("f_no_boot", ~(on & booting))
    h.invariant("f_alone", ~(on & work) | ~waiting | (ahead < pending))


_FILE = "hw/load/unit.py"

LOAD_ORDER = Proof(
    "load-order",
    "LOADs retire in order, each once: LOAD_LATENCY cycles behind its last beat, or, without rows, behind all before "
    "it; the boot load says that page 0 is there and counts for nothing.",
    load_order,
    3,
    (
        Mutant(
            "load-empty-one-overtakes",
            _FILE,
            "empty_done.eq(waiting & due & nothing)",
            "empty_done.eq(waiting & due)",
            "whoever waits for a load begins before its data are there",
        ),
        Mutant(
            "load-empty-one-beside-the-last",
            _FILE,
            "nothing.eq(pending == line[-1])",
            "nothing.eq(pending <= 1)",
            "of two loads that complete in one cycle one is lost, and the machine hangs",
        ),
        Mutant(
            "load-boot-counts",
            _FILE,
            "self.progress.retire.eq(done & ~booting)",
            "self.progress.retire.eq(done)",
            "all waits for LOAD are met one too early",
        ),
    ),
    search=16,
)
