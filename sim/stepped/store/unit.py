"""STORE: scratchpad words to DRAM."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.axi import burst_beats
from gatewright.contract.isa import Unit
from gatewright.contract.timing import STORE_ANSWER, STORE_BUS_START, STORE_LATENCY
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.memories.channel import WRITE
from gatewright.sim.stepped.state import Shared

WORDS_AHEAD = STORE_BUS_START + 3
"""Words on their way from the scratchpad, and behind it until their slots: enough for one in each cycle."""


@dataclass
class Word:
    """A word on its way to the bus, where it can be from cycle ``ready`` on."""

    data: npt.NDArray[np.uint8]
    ready: int


class StoreUnit:
    """Three things that run apart: the bursts' addresses, words read ahead, and beats in the DRAM's slots.

    s: the instruction's registers are loaded, and the first address leaves; then one in each cycle. From s + 1 on a
    word is read at port B in each cycle in which fewer than WORDS_AHEAD are on their way; it can be on the bus
    STORE_BUS_START cycles later, and is then in DRAM. From the first of these cycles on, a burst's phase register
    counts as in LOAD; after it come ``burst_gap`` idle cycles. After the last one, the write's DRAM latency and the
    response's way back make up the rest.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._dram = shared.arch.dram
        self._active: Instruction | None = None
        self._words: deque[Word] = deque()
        self._bursts: deque[int] = deque()
        self._unsent = self._unread = self._left = 0
        self._phase = self._gap = 0
        self._begin = 0
        self._response: int | None = None

    def step(self) -> None:
        """One clock cycle."""
        if self._active is None:
            self._active = self._shared.take(Unit.STORE)
            if self._active is not None:
                self._start(self._active)
                self._send()
            return
        self._send()
        if self._response is not None:
            self._response -= 1
            if self._response == 0:
                self._shared.completions.retire(self._active)
                self._active = None
        elif self._gap:
            self._gap -= 1
        elif self._shared.clock.cycle > self._begin:
            self._transfer(self._active)
        if self._active is not None:
            self._read(self._active)

    def _start(self, store: Instruction) -> None:
        """The first burst may begin STORE_BUS_START cycles behind the one after this."""
        self._unread = left = store["beats"]
        self._begin = self._shared.clock.cycle + STORE_BUS_START
        address = store["dram_address"]
        while left:
            beats = burst_beats(address, left)
            self._bursts.append(beats)
            address, left = address + beats * BEAT_BYTES, left - beats
        self._unsent = len(self._bursts)
        self._left = self._phase = self._gap = 0
        self._response = None if self._bursts else STORE_LATENCY - 1 + self._dram.latency

    def _send(self) -> None:
        if self._unsent:
            self._unsent -= 1
            self._shared.channel.enter(WRITE)

    def _read(self, store: Instruction) -> None:
        if self._unread == 0 or len(self._words) == WORDS_AHEAD:
            return
        address = store["address"] + (store["beats"] - self._unread) * BEAT_BYTES
        data = self._shared.scratchpad.read_b(address, BEAT_BYTES, store).view(np.uint8)
        self._words.append(Word(data, self._shared.clock.cycle + STORE_BUS_START))
        self._unread -= 1

    def _transfer(self, store: Instruction) -> None:
        if self._left == 0:
            if not self._shared.channel.turn(WRITE):
                return
            self._left = self._bursts.popleft()
            self._phase = 0
        self._phase += self._dram.beats
        if self._phase < self._dram.per_cycles:
            return
        self._phase -= self._dram.per_cycles
        word = self._words.popleft()
        assert word.ready <= self._shared.clock.cycle, "a slot comes before its word"
        behind = self._unread + len(self._words)
        self._shared.dram.write(store["dram_address"] + (store["beats"] - behind - 1) * BEAT_BYTES, word.data, store)
        self._left -= 1
        if self._left == 0:
            self._gap = self._dram.burst_gap
            self._shared.channel.leave()
            if not self._bursts:
                self._response = self._dram.burst_gap + self._dram.latency + STORE_ANSWER
