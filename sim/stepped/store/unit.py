"""STORE: scratchpad words to DRAM."""

from __future__ import annotations

import numpy as np

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.axi import burst_beats
from gatewright.contract.isa import Unit
from gatewright.contract.timing import STORE_BUS_START, STORE_LATENCY
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared


class StoreUnit:
    """One burst after another, at the DRAM's rate, and a wait for the last response.

    s: the instruction's registers are loaded. From s + 1 on a word is read at port B whenever the
    phase register passes ``per_cycles``; its beat is on the bus STORE_BUS_START cycles later and is then in DRAM. After
    each burst come ``burst_gap`` idle cycles. After the last, the beats' way out, the write's DRAM
    latency and the response register make up STORE_LATENCY - 1 + latency cycles.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._dram = shared.arch.dram
        self._active: Instruction | None = None
        self._left = 0
        self._burst_left = 0
        self._dram_address = 0
        self._address = 0
        self._phase = 0
        self._gap = 0
        self._response: int | None = None
        self._bus: list[tuple[int, np.ndarray[tuple[int], np.dtype[np.uint8]]] | None] = [None] * STORE_BUS_START

    def step(self) -> None:
        """One clock cycle."""
        if self._active is None:
            self._active = self._shared.take(Unit.STORE)
            if self._active is None:
                return
            self._left = self._active["beats"]
            self._dram_address, self._address = self._active["dram_address"], self._active["address"]
            self._burst_left = self._gap = self._phase = 0
            self._response = None if self._left else STORE_LATENCY - 1 + self._dram.latency
            return
        leaving = self._bus.pop()
        self._bus.insert(0, None)
        if leaving is not None:
            self._shared.dram.write(leaving[0], leaving[1], self._active)
        if self._response is not None:
            self._response -= 1
            if self._response == 0:
                self._shared.completions.retire(self._active)
                self._active = None
        elif self._gap:
            self._gap -= 1
            self._await_response()
        else:
            self._transfer(self._active)

    def _transfer(self, store: Instruction) -> None:
        if self._burst_left == 0:
            self._burst_left = burst_beats(self._dram_address, self._left)
            self._phase = 0
        self._phase += self._dram.beats
        if self._phase < self._dram.per_cycles:
            return
        self._phase -= self._dram.per_cycles
        data = self._shared.scratchpad.read_b(self._address, BEAT_BYTES, store).view(np.uint8)
        self._bus[0] = (self._dram_address, data)
        self._dram_address += BEAT_BYTES
        self._address += BEAT_BYTES
        self._left -= 1
        self._burst_left -= 1
        if self._burst_left == 0:
            self._gap = self._dram.burst_gap
            self._await_response()

    def _await_response(self) -> None:
        """Begin to wait once the last burst and its gap are over."""
        if self._left == 0 and self._gap == 0:
            self._response = STORE_LATENCY - 1 + self._dram.latency
