"""STORE in a proof: its surroundings, and what a STORE is, told from its operands alone."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Any

from amaranth import Cat, Mux, Signal

from gatewright.contract.axi import BURST_BEATS
from gatewright.hw.store.unit import BEATS_BITS, OFFSET_BITS, WORD_ADDRESS, StoreUnit
from tests.hw.instructions import ARCH
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside

COUNT_BITS = BEATS_BITS - OFFSET_BITS + 2
"""Of a number of bursts."""

_MACHINE = replaced(ARCH, dram=replaced(ARCH.dram, latency=2))


@dataclass(frozen=True)
class Work:
    """The STORE at work, told from its operands alone.

    ``address_word``, ``address_left``: where the next address that is accepted begins, and the beats from there on.
    ``data_word``, ``data_left``: the same of the next beat. ``accepted``, ``lasts``, ``answers``: its addresses,
    ends of bursts and responses so far.
    """

    active: Signal
    empty: Signal
    lost: Signal
    address_word: Signal
    address_left: Signal
    data_word: Signal
    data_left: Signal
    accepted: Signal
    lasts: Signal
    answers: Signal

    @classmethod
    def made(cls) -> Work:
        sizes = {"word": WORD_ADDRESS, "left": BEATS_BITS}
        names = {name: sizes.get(name.rpartition("_")[2], 1) for name in cls.__dataclass_fields__}
        names |= dict.fromkeys(("accepted", "lasts", "answers"), COUNT_BITS)
        return cls(**{name: Signal(bits, name=f"work_{name}") for name, bits in names.items()})


def burst_beats(word: Any, left: Any) -> Any:
    """Beats of the burst at ``word`` with ``left`` beats to go: to the boundary, or to the end."""
    room = BURST_BEATS - word[:OFFSET_BITS]
    return Mux(left < room, left, room)


@dataclass(frozen=True)
class Surrounded:
    """The unit in its harness: any STORE after any other, a bus that stalls at will, responses behind their beats.

    In a cycle: ``start`` of a STORE with beats, its ``first`` word; an address or a beat is accepted (``addresses``,
    ``beats``); ``length``: beats of the burst at ``work.address_word``; ``ends``: the next beat ends a burst.
    """

    h: Harness
    unit: StoreUnit
    inside: Inside
    work: Work
    start: Signal
    first: Signal
    addresses: Signal
    beats: Signal
    length: Signal
    ends: Signal

    @property
    def presented(self) -> Any:
        """Addresses so far, with the one that is on the bus."""
        return (self.work.accepted + self.unit.bus.aw_valid)[:COUNT_BITS]


def surrounded() -> Surrounded:
    """STORE between free inputs, with the promises of its queue, of ``halt`` and of the bus."""
    h = Harness()
    unit = StoreUnit(_MACHINE)
    inside = Inside(unit)
    h.m.submodules.store = inside.fragment
    bus = unit.bus
    h.free(unit.queue.head, unit.queue.valid, unit.queue.waits_met, unit.base, unit.halt, unit.scratchpad.data)
    h.free(bus.aw_ready, bus.w_ready, bus.b_valid, bus.b_response)
    h.assume(~unit.queue.valid | h.steady(Cat(unit.queue.head, unit.base), "head"))
    h.assume(unit.halt | h.reset | ~h.before(unit.halt, "halt_before"))
    bits = {"first": WORD_ADDRESS, "length": len(bus.aw_length) + 1}
    names = ("start", "first", "addresses", "beats", "length", "ends")
    s = Surrounded(h, unit, inside, Work.made(), *(Signal(bits.get(name, 1), name=name) for name in names))
    _work(s)
    w = s.work
    # A response comes behind its address and its last beat.
    h.assume(~bus.b_valid | ((w.accepted != w.answers) & (w.lasts != w.answers)))
    return s


def _work(s: Surrounded) -> None:
    """How the work goes on."""
    m, w, unit = s.h.m, s.work, s.unit
    bus, head, take = unit.bus, unit.queue.head.operands, unit.queue.take
    m.d.comb += [
        s.start.eq(take & (head.beats != 0)),
        s.first.eq((head.dram_address + unit.base)[:32] >> (32 - WORD_ADDRESS)),
        s.addresses.eq(bus.aw_valid & bus.aw_ready),
        s.beats.eq(bus.w_valid & bus.w_ready),
        s.length.eq(burst_beats(w.address_word, w.address_left)),
        s.ends.eq(w.data_word[:OFFSET_BITS].all() | (w.data_left == 1)),
    ]
    m.d.sync += [
        w.active.eq(take | (w.active & ~unit.progress.retire)),
        w.accepted.eq(w.accepted + s.addresses),
        w.lasts.eq(w.lasts + (s.beats & bus.w_last)),
        w.answers.eq(w.answers + bus.b_valid),
    ]
    with m.If(take):
        m.d.sync += [w.empty.eq(head.beats == 0), w.lost.eq(unit.halt)]
    with m.If(s.start):
        m.d.sync += [w.address_word.eq(s.first), w.address_left.eq(head.beats)]
        m.d.sync += [w.data_word.eq(s.first), w.data_left.eq(head.beats)]
        m.d.sync += [count.eq(0) for count in (w.accepted, w.lasts, w.answers)]
    with m.Else():
        with m.If(s.addresses):
            m.d.sync += [w.address_word.eq(w.address_word + s.length), w.address_left.eq(w.address_left - s.length)]
        with m.If(s.beats):
            m.d.sync += [w.data_word.eq(w.data_word + 1), w.data_left.eq(w.data_left - 1)]
