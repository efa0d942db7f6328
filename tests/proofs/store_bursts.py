"""STORE's addresses, the beats that belong to them, and its completion."""

from __future__ import annotations

from amaranth import Cat, Const, Mux, Signal

from gatewright.hw.store.unit import BEATS_BITS, OFFSET_BITS, WORD_ADDRESS
from tests.mutants.mutant import Mutant
from tests.proofs.bus import check_burst, check_held, check_stable
from tests.proofs.harness import Harness
from tests.proofs.proof import Proof
from tests.proofs.store_model import COUNT_BITS, Surrounded, surrounded


def store_bursts() -> Harness:
    """That ``w_last`` marks the ends of bursts is what the proof ``store-words`` shows."""
    s = surrounded()
    h, w, unit, bus = s.h, s.work, s.unit, s.unit.bus
    take, retire = unit.queue.take, unit.progress.retire
    h.assume(~bus.w_valid | (bus.w_last == s.ends))
    check_held(h, "address", bus.aw_valid, bus.aw_ready)
    check_stable(h, "address", bus.aw_valid, bus.aw_ready, Cat(bus.aw_address, bus.aw_length))
    check_held(h, "data", bus.w_valid, bus.w_ready)
    check_burst(h, "address", bus.aw_valid, bus.aw_address, bus.aw_length)
    place = (bus.aw_address == Cat(Const(0, 4), w.address_word)) & (bus.aw_length + 1 == s.length)
    h.check("address_next", ~bus.aw_valid | ((w.address_left != 0) & place))
    h.check("data_belongs", ~bus.w_valid | ((w.data_left != 0) & (s.presented != w.lasts)))
    h.check("take", ~take | ~w.active)
    h.check("retire_once", ~retire | w.active)
    complete = (w.address_left == 0) & (w.data_left == 0) & (w.answers == w.accepted) & ~bus.aw_valid
    h.cover("second_address", h.before(s.addresses, "accepted_before") & s.addresses)
    h.cover("retires", retire & ~w.empty)
    h.cover("retires_empty", retire & w.empty)
    h.check("retire_complete", ~retire | complete)
    answered = complete & w.active & ~w.empty
    h.check("retire_at_once", ~answered | retire)
    h.invariant("answered", ~answered | s.inside.of(unit, "response"))
    h.check("quiet", ~unit.quiet | (s.presented == w.answers))
    stays = h.before(bus.aw_valid & ~bus.aw_ready, "stays")
    h.check("halted", ~bus.aw_valid | stays | ~h.before(unit.halt, "halted_before"))
    _invariants(s)
    return h


def _invariants(s: Surrounded) -> None:
    h, inside, unit, w = s.h, s.inside, s.unit, s.work
    active, more, page, unanswered, response = (
        inside.of(unit, name) for name in ("active", "more", "page", "unanswered", "response")
    )
    rest = inside.of(unit, "rest")
    valid = unit.bus.aw_valid
    following, left = Signal(WORD_ADDRESS), Signal(BEATS_BITS)
    h.m.d.comb += [
        following.eq(Mux(valid, w.address_word + s.length, w.address_word)),
        left.eq(Mux(valid, w.address_left - s.length, w.address_left)),
    ]
    h.invariant("active", active == w.active)
    h.invariant("more", (more == (left != 0)) | (w.lost & ~more & ~valid & (w.accepted == w.lasts)))
    h.invariant("lost", ~w.lost | unit.halt | h.reset)
    unsent = ~more & ~valid & ~response & (w.accepted == w.lasts) & (w.accepted == w.answers)
    h.invariant("lost_all", ~(w.active & w.lost & ~w.empty) | (unsent & (w.address_left != 0) & (w.data_left != 0)))
    h.invariant("page", ~more | ((Cat(Const(0, OFFSET_BITS), page) == following) & (rest == (left - 1)[:BEATS_BITS])))
    h.invariant("open", unit._open == (s.presented - w.lasts)[:COUNT_BITS])
    h.invariant("unanswered", unanswered == (s.presented - w.answers + response)[:COUNT_BITS])
    # The first burst and the last may be short.
    most = (1 << (BEATS_BITS - OFFSET_BITS)) - 1
    total = w.accepted + (w.address_left >> OFFSET_BITS)
    h.invariant("total", total <= most + (w.accepted != 0) + (w.address_left == 0))
    h.invariant("aligned", (w.accepted == 0) | (w.address_left == 0) | (w.address_word[:OFFSET_BITS] == 0))
    h.invariant("answers", (w.answers <= w.lasts) & (w.answers <= w.accepted) & (w.lasts <= s.presented))
    h.invariant("response", ~response | w.active)
    # The boundaries between the next beat and the end of the addresses.
    blocks, end = Signal(WORD_ADDRESS - OFFSET_BITS), Signal(WORD_ADDRESS)
    h.m.d.comb += [
        end.eq(w.data_word + w.data_left - left - 1),
        blocks.eq((end >> OFFSET_BITS) - (w.data_word >> OFFSET_BITS) + 1),
    ]
    h.invariant("left", w.lost | (left <= w.data_left))
    h.invariant("ends", w.lost | (following == (w.data_word + w.data_left - left)[:WORD_ADDRESS]))
    h.invariant("blocks", w.lost | (unit._open == Mux(left == w.data_left, 0, blocks)[:COUNT_BITS]))
    h.invariant("rests", w.active | ((w.data_left == 0) & (w.address_left == 0) & ~valid))
    h.invariant("rests_answered", w.active | ((w.lasts == w.answers) & (w.lasts == w.accepted)))
    countdown, ends = inside.of(unit, "countdown"), inside.of(unit, "_nothing.ends")
    h.invariant("empty", (w.active & w.empty) == ((countdown >= 2) | ends))
    h.invariant("empty_left", ~(w.active & w.empty) | ((w.data_left == 0) & (w.address_left == 0) & ~valid))
    h.invariant("empty_answered", ~(w.active & w.empty) | ((w.lasts == w.answers) & (w.lasts == w.accepted)))
    h.invariant("countdown", (countdown != 1) | ends)
    h.invariant("not_both", ~ends | (countdown == 1))


_FILE = "hw/store/unit.py"

_FAULTS = (
    Mutant(
        "store-address-not-held",
        _FILE,
        "send.eq((start | more) & ~self.halt & (~bus.aw_valid | bus.aw_ready))",
        "send.eq((start | more) & ~self.halt)",
        "a burst that the memory does not take at once is never written",
    ),
    Mutant(
        "store-room-of-all",
        _FILE,
        "room.eq(~word[:OFFSET_BITS])",
        "room.eq(~first[:OFFSET_BITS])",
        "the bursts behind the first one are as short as that one",
    ),
    Mutant(
        "store-data-before-its-address",
        _FILE,
        "bus.w_valid.eq(queue.present & (self._open != 0))",
        "bus.w_valid.eq(queue.present)",
        "data of a burst that is never announced, behind a halt",
    ),
    Mutant(
        "store-retires-at-a-response",
        _FILE,
        "finished.eq(response & only & ~more & ~sent)",
        "finished.eq(response & ~more & ~sent)",
        "a STORE is complete while its last burst is in flight",
    ),
)

STORE_BURSTS = Proof(
    "store-bursts",
    "STORE keeps the rules of AXI, its bursts are those of its operands, data follow their address, and it retires "
    "once, in the cycle behind the last response.",
    store_bursts,
    2,
    _FAULTS,
    search=12,
    quick=False,
)
