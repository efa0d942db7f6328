"""LOAD's read channels: the rules of AXI, the bursts in flight, and room for the loads that wait for their data."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Mux, Signal

from gatewright.contract.axi import BURST_BEATS
from gatewright.hw.load import unit as module
from gatewright.hw.load.issue import OFFSET_BITS
from gatewright.hw.load.unit import LoadUnit
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.bus import check_burst, check_held, check_stable
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof
from tests.proofs.queues import held_invariants
from tests.proofs.unknown import unknown_parts

_MOST = ARCH.dram.outstanding
_BITS = range(2 * _MOST)


def load_bus() -> Harness:
    """Bursts as the proof ``load-issue`` shows them, loads of any number of bursts, beats that come at will."""
    h = Harness()
    m = h.m
    with unknown_parts(module, "LoadPreparation", "BurstIssue", "LoadWriter"):
        unit = LoadUnit(ARCH)
        inside = Inside(unit)
    m.submodules.load = inside.fragment
    bus = unit.bus
    issue, writer, transfers = (inside.of(unit, name) for name in ("issue", "writer", "transfers"))
    h.free(unit.queue.head, unit.queue.valid, unit.queue.waits_met, unit.boot.start, unit.boot.address)
    h.free(unit.boot.beats, unit.base, unit.counts, unit.halt)
    h.free(bus.ar_ready, bus.r_valid, bus.r_data, bus.r_response, bus.r_last)
    h.assume(issue.address[:OFFSET_BITS] + issue.length < BURST_BEATS)
    h.assume(~issue.valid | issue.busy)
    h.assume(unit.halt | h.reset | ~h.before(unit.halt, "halt_before"))

    # Bursts whose address was accepted and whose last beat has not come; those of the load whose data come now.
    flying, offered = Signal(_BITS), bus.ar_valid
    accepted, ends = Signal(), Signal()
    m.d.comb += [accepted.eq(bus.ar_valid & bus.ar_ready), ends.eq(bus.r_valid & bus.r_last)]
    m.d.sync += flying.eq(flying + accepted - ends)
    h.assume(~bus.r_valid | (flying != 0))
    check_held(h, "address", bus.ar_valid, bus.ar_ready)
    check_stable(h, "address", bus.ar_valid, bus.ar_ready, Cat(bus.ar_address, bus.ar_length))
    check_burst(h, "address", bus.ar_valid, bus.ar_address, bus.ar_length)
    stays = h.before(bus.ar_valid & ~bus.ar_ready, "stays")
    h.check("halted", ~bus.ar_valid | stays | ~h.before(unit.halt, "halted_before"))
    h.check("in_flight", flying + offered <= _MOST)
    h.check("quiet", unit.quiet == (flying + offered == 0))
    h.check("takes_all", bus.r_ready)
    h.invariant("flying", inside.of(unit, "flying") == flying + offered)
    _transfers(h, inside, issue, writer, transfers, flying + offered, ends)
    return h


def _transfers(
    h: Harness, inside: Inside, issue: Any, writer: Any, transfers: Any, in_flight: Any, ends: Signal
) -> None:
    """Each load in the queue has a burst in flight, since its data begin once it was taken from there."""
    m = h.m
    sends, first = issue.take, issue.take & issue.first
    # The load whose data come: its bursts in flight; whether it is all issued. ``idle``: there is none.
    idle_not, mine, more = Signal(), Signal(_BITS), Signal()
    held, _ = held_invariants(h, inside, transfers, Const(1, 2), "loads")
    chosen, next_mine = h.any(len(mine), "chosen"), Signal(_BITS)
    others = Signal(_BITS)
    m.d.comb += others.eq(in_flight - mine)
    # A load begins with a burst that says so, and has only others behind it until the next load's.
    issuing = Signal()
    m.d.sync += issuing.eq(Mux(sends, ~issue.last, issuing))
    h.assume(~sends | (issue.first == ~issuing))
    done, take = Signal(), writer.next_taken
    newest = held == 0
    m.d.comb += done.eq(writer.last)
    # What the writer does: it takes a load when it has none, or with the last beat of the one before.
    h.assume(take == (transfers.present & (~idle_not | done)))
    h.assume(~ends | (idle_not & (mine != 0)))
    h.assume(~done | (idle_not & ends & (mine == 1) & ~more))
    h.assume(done | ~(idle_not & ends & (mine == 1) & ~more))
    # Of the bursts in flight as many are of the load that is taken as leave one for each load behind it.
    h.assume(~take | ((chosen >= 1) & (others >= chosen + (held - 1)) & ((held != 1) | (chosen == others))))
    m.d.comb += next_mine.eq(Mux(take, chosen, mine - ends))
    to_mine = sends & ~issue.first & (newest | (take & (held == 1)))
    m.d.sync += [
        idle_not.eq(take | (idle_not & ~done)),
        mine.eq(next_mine + to_mine),
        more.eq(Mux(take, (held == 1) & issuing & ~(sends & issue.last), more & ~(sends & issue.last))),
    ]
    h.check("room", ~transfers.push | ~transfers.full)
    h.cover("many_loads", held == 4)
    h.cover("all_in_flight", in_flight == _MOST)
    h.cover("one_after_the_other", h.before(take & done, "taken") & ends)
    h.check("begins", transfers.push == first)
    # With the one that is issued, or is about to be, one more than bursts in flight.
    h.check("few_loads", held + idle_not <= _MOST + issuing)
    h.invariant("mine", (mine <= in_flight) & (idle_not | (mine == 0)) & (in_flight <= _MOST))
    h.invariant("others", (others >= held) & ((held != 0) | (others == 0)))
    h.invariant("more", ~more | (issuing & idle_not & (held == 0)))
    h.invariant("issuing", ~issuing | more | (held != 0))
    h.invariant("working", ~idle_not | more | (mine != 0))


_FILE = "hw/load/unit.py"

LOAD_BUS = Proof(
    "load-bus",
    "LOAD keeps the rules of AXI, has as many bursts in flight as the machine allows at most, and room for every load "
    "whose data are still to come.",
    load_bus,
    2,
    (
        Mutant(
            "load-address-not-held",
            _FILE,
            "issue.valid & (flying != self._arch.dram.outstanding) & ~self.halt & (~bus.ar_valid | bus.ar_ready)",
            "issue.valid & (flying != self._arch.dram.outstanding) & ~self.halt",
            "a burst that the memory does not take at once is never read",
        ),
        Mutant(
            "load-one-more-in-flight",
            _FILE,
            "flying.eq(flying + send - (bus.r_valid & bus.r_last))",
            "flying.eq(flying + (bus.ar_valid & bus.ar_ready) - (bus.r_valid & bus.r_last))",
            "a burst is counted once it is accepted, so that one too many is sent",
        ),
    ),
    search=24,
)
