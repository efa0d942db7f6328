"""The weight buffer: four banks of ``rows`` byte lanes, each lane with a write address of its own."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from gatewright.contract.arch import OPERAND_BANKS, ArchConfig
from gatewright.hw.signatures import weight_read, weight_write


class WeightBuffer(wiring.Component):
    """LOAD writes single bytes, ARRAY reads physical lanes.

    A word's bytes lie at one address of all lanes of its bank, so a read needs one address for a bank. A write needs
    one for each lane: a beat of weights by reduction brings a byte for each of 16 words. A read in the cycle of a
    write to the same byte gives the old one.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__({"write": In(weight_write(arch)), "read": In(weight_read(arch))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = self._arch.weight_words // OPERAND_BANKS
        for bank in range(OPERAND_BANKS):
            for lane in range(self._arch.rows):
                memory = Memory(shape=8, depth=depth, init=[])
                m.submodules[f"bank{bank}_lane{lane}"] = memory
                given = self.write.banks[bank][lane]
                write, read = memory.write_port(), memory.read_port()
                output = Signal(8, name=f"output_{bank}_{lane}", reset_less=True)
                m.d.comb += [
                    write.en.eq(given.enable),
                    write.addr.eq(given.address),
                    write.data.eq(given.data),
                    read.addr.eq(self.read.addresses[bank]),
                    self.read.words[bank][lane].eq(output),
                ]
                m.d.sync += output.eq(read.data)
        return m
