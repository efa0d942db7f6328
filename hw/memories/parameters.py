"""The epilogue's parameters: bias, multiplier and shift of each filter, two entries written at once."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from gatewright.contract.arch import PARAMETER_BYTES, ArchConfig
from gatewright.hw.signatures import PARAMETER, parameter_read, parameter_write


class Parameters(wiring.Component):
    """Two banks, of the even and of the odd entries, so that a beat of two entries may begin at any entry."""

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__({"write": In(parameter_write(arch)), "read": In(parameter_read(arch))})

    def elaborate(self, platform: object) -> Module:
        """The banks, the choice of the one that holds the entry, and a register behind it."""
        m = Module()
        depth = (self._arch.parameter_entries + 1) // 2
        first = self.write.data[: PARAMETER.size]
        second = self.write.data[8 * PARAMETER_BYTES :][: PARAMETER.size]
        odd_start = self.write.entry[0]
        words = []
        for odd, name in enumerate(("even", "odd")):
            bank = Memory(shape=PARAMETER.size, depth=depth, init=[])
            m.submodules[name] = bank
            read, store = bank.read_port(), bank.write_port()
            m.d.comb += [
                read.addr.eq(self.read.entry >> 1),
                read.en.eq(1),
                # An odd beginning: the even entry is the second one, in the next pair.
                store.addr.eq((self.write.entry >> 1) + (0 if odd else odd_start)),
                store.data.eq(Mux(odd_start == odd, first, second)),
                store.en.eq(self.write.valid),
            ]
            words.append(read.data)
        chosen = Signal(reset_less=True)
        word = Signal(PARAMETER.size, reset_less=True)
        m.d.comb += [self.read.early.eq(Mux(chosen, words[1], words[0])), self.read.parameter.eq(word)]
        m.d.sync += [chosen.eq(self.read.entry[0]), word.eq(self.read.early)]
        return m
