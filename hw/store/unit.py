"""STORE: scratchpad words to DRAM."""

from __future__ import annotations

from typing import ClassVar

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.axi import BURST_BEATS, OKAY
from gatewright.contract.isa import Opcode, Unit
from gatewright.contract.timing import STORE_LATENCY
from gatewright.hw.bus import write_bus
from gatewright.hw.control.queue import HeadQueue
from gatewright.hw.control.signatures import head_signature, progress_signature
from gatewright.hw.layouts import operand_layout
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import BEAT_BITS, SCRATCHPAD_READ, scratchpad_read

OFFSET_BITS = ceil_log2(BURST_BEATS)
"""Of an address in beats: its place within 4 KiB, at which bursts are cut."""

WORD_ADDRESS = 32 - ceil_log2(BEAT_BYTES)
BEATS_BITS = operand_layout(Opcode.STORE)["beats"].width

WORDS_AHEAD = 8
"""Words on their way from the scratchpad and in the queue: enough for one a cycle."""

assert SCRATCHPAD_READ + 2 <= WORDS_AHEAD, "a place in the queue comes back this many cycles after its request"


class StoreUnit(wiring.Component):
    """One STORE at a time: burst addresses, words read ahead into a queue, and a count of responses.

    ``halt``: send no more addresses; the beats of those that were sent follow. ``quiet``: every burst is answered.
    ``error``: one was answered with an error.
    """

    MEMORY_PORTS: ClassVar = {
        "scratchpad": "scratchpad.store",
    }

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "queue": Out(head_signature(Unit.STORE)),
                "progress": Out(progress_signature()),
                "base": In(32),
                "scratchpad": Out(scratchpad_read(BEAT_BYTES)),
                "bus": Out(write_bus()),
                "halt": In(1),
                "quiet": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        active = Signal()
        # Of the head, right from the cycle behind its coming on: the first burst's place, and the beats less one.
        first_word = Signal(32, reset_less=True)
        beats_less = Signal(BEATS_BITS, reset_less=True)
        empty = Signal(reset_less=True)
        head = self.queue.head.operands
        m.d.sync += [
            first_word.eq(head.dram_address + self.base),
            beats_less.eq(head.beats - 1),
            empty.eq(head.beats == 0),
        ]
        start = Signal()
        m.d.comb += [
            self.queue.take.eq(self.queue.valid & self.queue.waits_met & ~active),
            start.eq(self.queue.take & ~empty),
            self.progress.start.eq(self.queue.take),
            self.progress.run.eq(self.queue.take),
        ]
        with m.If(self.queue.take):
            m.d.sync += active.eq(1)
        with m.Elif(self.progress.retire):
            m.d.sync += active.eq(0)
        first = first_word[-WORD_ADDRESS:]
        answered = self._addresses(m, start, first, beats_less)
        self._words(m, start, first, beats_less, head.address)
        m.d.comb += self.progress.retire.eq(answered | self._nothing(m, self.queue.take & empty))
        return m

    def _addresses(self, m: Module, start: Signal, first: Signal, beats_less: Signal) -> Signal:
        """The AW channel and the responses; returns a pulse in the cycle behind the last response."""
        bus = self.bus
        more = Signal()
        page = Signal(WORD_ADDRESS - OFFSET_BITS, reset_less=True)
        rest = Signal(BEATS_BITS, reset_less=True)
        # The burst that is next: at the start that of the registers in front, then one from each 4 KiB boundary on.
        word, left = Signal(WORD_ADDRESS), Signal(BEATS_BITS)
        room, ends, send = Signal(OFFSET_BITS), Signal(), Signal()
        m.d.comb += [
            word.eq(Mux(more, Cat(Const(0, OFFSET_BITS), page), first)),
            left.eq(Mux(more, rest, beats_less)),
            room.eq(~word[:OFFSET_BITS]),
            ends.eq(left <= room),
            send.eq((start | more) & ~self.halt & (~bus.aw_valid | bus.aw_ready)),
            bus.b_ready.eq(1),
        ]
        with m.If(send):
            m.d.sync += [
                bus.aw_valid.eq(1),
                bus.aw_address.eq(Cat(Const(0, ceil_log2(BEAT_BYTES)), word)),
                bus.aw_length.eq(Mux(ends, left, room)),
                more.eq(~ends),
                page.eq(word[OFFSET_BITS:] + 1),
                rest.eq(left - room - 1),
            ]
        with m.Elif(bus.aw_ready):
            m.d.sync += bus.aw_valid.eq(0)
        # Bursts sent: those whose last beat has not left, and those whose response has not come.
        self._open = Signal(range((1 << BEATS_BITS >> OFFSET_BITS) + 2))
        unanswered = Signal.like(self._open)
        response = Signal()
        finished = Signal()
        # A register: one burst was unanswered, if none was sent in the cycle before. Had one been, its response could
        # not be here yet.
        only, sent = Signal(), Signal()
        m.d.comb += [
            finished.eq(response & only & ~more & ~sent),
            self.quiet.eq(unanswered == 0),
        ]
        m.d.sync += [
            response.eq(bus.b_valid),
            only.eq(unanswered == response + 1),
            sent.eq(send),
            unanswered.eq(unanswered + send - response),
            self._open.eq(self._open + send - (bus.w_valid & bus.w_ready & bus.w_last)),
        ]
        with m.If(bus.b_valid & (bus.b_response != OKAY)):
            m.d.sync += self.error.eq(1)
        return finished

    def _words(self, m: Module, start: Signal, first: Signal, beats_less: Signal, address: Signal) -> None:
        """Read words ahead, and send each once the address of its burst was sent."""
        bus = self.bus
        word = data.StructLayout({"data": BEAT_BITS, "last": 1})
        m.submodules.queue = queue = HeadQueue(word, WORDS_AHEAD)
        reading, sent = Signal(), Signal()
        left = Signal(BEATS_BITS, reset_less=True)
        offset = Signal(OFFSET_BITS, reset_less=True)
        under_way = Signal(range(WORDS_AHEAD + 1))
        arrived = Signal(SCRATCHPAD_READ)
        m.d.comb += self.scratchpad.valid.eq(reading & (under_way != WORDS_AHEAD))
        with m.If(start):
            m.d.sync += [
                reading.eq(1),
                left.eq(beats_less),
                offset.eq(first),
                self.scratchpad.address.eq(address),
            ]
        with m.Elif(self.scratchpad.valid):
            m.d.sync += [
                reading.eq(left != 0),
                left.eq(left - 1),
                offset.eq(offset + 1),
                self.scratchpad.address.eq(self.scratchpad.address + BEAT_BYTES),
            ]
        m.d.sync += [
            arrived.eq(Cat(self.scratchpad.valid, arrived)),
            under_way.eq(under_way + self.scratchpad.valid - sent),
        ]
        m.d.comb += [
            queue.push.eq(arrived[-1]),
            queue.entry.data.eq(Cat(*self.scratchpad.data)),
            queue.entry.last.eq(delayed(m, (left == 0) | offset.all(), SCRATCHPAD_READ, "burst_ends")),
            bus.w_valid.eq(queue.present & (self._open != 0)),
            bus.w_data.eq(queue.head.data),
            bus.w_last.eq(queue.head.last),
            sent.eq(bus.w_valid & bus.w_ready),
            queue.take.eq(sent),
        ]

    def _nothing(self, m: Module, start: Signal) -> Signal:
        """A STORE without beats takes as long as one of 0 beats; returns a pulse in its retiring cycle."""
        cycles = STORE_LATENCY + self._arch.dram.latency - 1
        countdown = Signal(range(cycles + 1))
        ends = Signal()
        with m.If(start):
            m.d.sync += countdown.eq(cycles)
        with m.Elif(countdown != 0):
            m.d.sync += countdown.eq(countdown - 1)
        m.d.sync += ends.eq(~start & (countdown == 2))
        return ends
