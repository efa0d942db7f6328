"""STORE's words: each beat carries the word that was read for it, and the last one of a burst says so."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Cat, Const, Mux, Signal

from gatewright.contract.arch import BEAT_BYTES
from gatewright.hw.signatures import SCRATCHPAD_READ
from gatewright.hw.store.unit import BEATS_BITS, OFFSET_BITS, WORDS_AHEAD
from tests.mutants.mutant import Mutant
from tests.proofs.bus import check_stable
from tests.proofs.harness import Harness
from tests.proofs.proof import Proof
from tests.proofs.queues import held_invariants
from tests.proofs.store_model import Surrounded, surrounded


@dataclass(frozen=True)
class _Followed:
    """One beat of the STORE, any one: ``to_read`` reads and ``to_send`` beats are in front of it.

    ``asked``, ``arrived``: its word was asked for, came back. ``place``: of its address within 4 KiB; ``rest``: beats
    behind it; ``source``: where it lies in the scratchpad; ``word``: what lies there.
    """

    on: Signal
    asked: Signal
    arrived: Signal
    to_read: Signal
    to_send: Signal
    place: Signal
    rest: Signal
    source: Signal
    word: Signal
    tags: Signal


def store_words() -> Harness:
    """That a STORE begins when all beats of the one before are sent is what the proof ``store-bursts`` shows."""
    s = surrounded()
    h, bus = s.h, s.unit.bus
    h.assume(~s.unit.queue.take | (s.work.data_left == 0))
    check_stable(h, "data", bus.w_valid, bus.w_ready, Cat(bus.w_data, bus.w_last))
    _invariants(s, _follow(s))
    return h


def _follow(s: Surrounded) -> _Followed:
    h, unit, start, first, beats = s.h, s.unit, s.start, s.first, s.beats
    m, bus, read = h.m, unit.bus, unit.scratchpad
    head = unit.queue.head.operands
    bits = {"to_read": BEATS_BITS, "to_send": BEATS_BITS, "rest": BEATS_BITS, "place": OFFSET_BITS}
    bits |= {"source": len(read.address), "word": len(bus.w_data), "tags": SCRATCHPAD_READ}
    f = _Followed(**{name: Signal(bits.get(name, 1), name=f"f_{name}") for name in _Followed.__dataclass_fields__})
    chosen = h.any(BEATS_BITS, "chosen")
    asks, comes, sent = Signal(), Signal(), Signal()
    m.d.comb += [
        asks.eq(f.on & ~f.asked & read.valid & (f.to_read == 0)),
        comes.eq(f.tags[-1]),
        sent.eq(f.on & beats & (f.to_send == 0)),
    ]
    m.d.sync += f.tags.eq(Cat(asks, f.tags[:-1]))
    with m.If(start):
        m.d.sync += [
            f.on.eq(chosen < head.beats),
            f.asked.eq(0),
            f.arrived.eq(0),
            f.to_read.eq(chosen),
            f.to_send.eq(chosen),
            f.place.eq(first + chosen),
            f.rest.eq(head.beats - 1 - chosen),
            f.source.eq(head.address + chosen * BEAT_BYTES),
        ]
    with m.Else():
        with m.If(asks):
            m.d.sync += f.asked.eq(1)
        with m.Elif(read.valid):
            m.d.sync += f.to_read.eq(f.to_read - 1)
        with m.If(comes):
            m.d.sync += [f.arrived.eq(1), f.word.eq(Cat(*read.data))]
        with m.If(sent):
            m.d.sync += f.on.eq(0)
        with m.Elif(beats):
            m.d.sync += f.to_send.eq(f.to_send - 1)
    last = f.place.all() | (f.rest == 0)
    goes = f.on & bus.w_valid & (f.to_send == 0)
    h.cover("second_beat", goes & beats & (f.rest == 0) & h.before(beats, "sent_before"))
    h.check("read_address", ~asks | (read.address == f.source))
    h.check("data_word", ~goes | (f.arrived & (bus.w_data == f.word)))
    h.check("data_last", ~goes | (bus.w_last == last))
    return f


def _invariants(s: Surrounded, f: _Followed) -> None:
    h, inside, unit, w = s.h, s.inside, s.unit, s.work
    reading, left, offset, under_way, arrived, queue = (
        inside.of(unit, f"_words.{name}") for name in ("reading", "left", "offset", "under_way", "arrived", "queue")
    )
    registers = inside.all_of(unit)
    held, place = held_invariants(h, inside, queue, f.to_send, "words")
    flying = sum(arrived, start=Const(0, 1))
    unread = Signal(BEATS_BITS)
    h.m.d.comb += unread.eq(Mux(reading, left + 1, 0))
    h.check("room", ~queue.push | ~queue.full)
    h.invariant("under_way", (under_way == flying + held) & (under_way <= WORDS_AHEAD))
    h.invariant("data_left", w.data_left == unread + under_way)
    h.invariant("no_wrap", ~reading | (left < w.data_left))
    h.invariant("offset", ~reading | (offset == (w.data_word + under_way)[:OFFSET_BITS]))
    # Where the followed beat is.
    last = f.place.all() | (f.rest == 0)
    on, waits = f.on, f.on & ~f.asked
    h.invariant("f_place", ~on | (f.place == (w.data_word + f.to_send)[:OFFSET_BITS]))
    h.invariant("f_rest", ~on | (w.data_left == f.to_send + f.rest + 1))
    h.invariant("f_waits", ~waits | (reading & (f.tags == 0) & ~f.arrived & (left == f.to_read + f.rest)))
    h.invariant("f_offset", ~waits | (f.place == (offset + f.to_read)[:OFFSET_BITS]))
    h.invariant("f_to_send", ~waits | (f.to_send == f.to_read + under_way))
    source = (f.source - f.to_read * BEAT_BYTES)[: len(f.source)]
    h.invariant("f_source", ~waits | (unit.scratchpad.address == source))
    h.invariant("f_tags", (f.tags == 0) | (on & f.asked & ~f.arrived))
    h.invariant("f_somewhere", ~on | ~f.asked | f.arrived | (f.tags != 0))
    for stage in range(SCRATCHPAD_READ):
        tag = f.tags[stage]
        older = sum(arrived[stage + 1 :], start=Const(0, 1))
        h.invariant(f"f_stage_{stage}", ~tag | (arrived[stage] & (f.to_send == held + older)))
        h.invariant(f"f_alone_{stage}", ~tag | (f.tags == 1 << stage))
        h.invariant(f"f_last_{stage}", ~tag | (registers[f"burst_ends_{stage + 1}"] == last))
    queued = on & f.arrived
    entry = Mux(f.to_send == 0, queue.head.as_value(), place.as_value())
    h.invariant("f_queued", ~queued | (f.asked & (f.to_send < held) & (entry == Cat(f.word, last))))


_FAULTS = (
    Mutant(
        "store-last-at-the-end-only",
        "hw/store/unit.py",
        "delayed(m, (left == 0) | offset.all(), SCRATCHPAD_READ",
        "delayed(m, (left == 0), SCRATCHPAD_READ",
        "bursts that end at a boundary have no last beat",
    ),
    Mutant(
        "store-last-but-one",
        "hw/store/unit.py",
        "delayed(m, (left == 0) | offset.all()",
        "delayed(m, (left == 1) | offset.all()",
        "a burst's last beat but one says that it is the last",
    ),
)

STORE_WORDS = Proof(
    "store-words",
    "STORE sends the words that it read, each once and in order; the last beat of each burst, and no other, says so.",
    store_words,
    2,
    _FAULTS,
    search=10,
    quick=False,
)
