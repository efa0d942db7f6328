"""The patch buffer: im2col vectors between GATHER, which writes bytes, and ARRAY, which reads words."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from gatewright.contract.arch import OPERAND_BANKS, ArchConfig
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import OPERAND_READ, patch_read, patch_write


class PatchBuffer(wiring.Component):
    """Four banks of ``rows``-byte words with byte enables, one port to write and one to read each.

    A write is done in its cycle. A word is there OPERAND_READ cycles after its address, as it was at the beginning of
    that cycle. Addresses beyond the end are not to be used.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._rows, self._depth = arch.rows, arch.patch_words // OPERAND_BANKS
        super().__init__({"write": In(patch_write(arch)), "read": In(patch_read(arch))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for number in range(OPERAND_BANKS):
            bank = Memory(shape=8 * self._rows, depth=self._depth, init=[])
            m.submodules[f"bank_{number}"] = bank
            read, write = bank.read_port(), bank.write_port(granularity=8)
            written = self.write.banks[number]
            m.d.comb += [
                write.addr.eq(written.address),
                write.data.eq(written.data),
                write.en.eq(written.enable),
                read.addr.eq(self.read.addresses[number]),
                self.read.words[number].eq(delayed(m, read.data, OPERAND_READ - 1, f"word_{number}")),
            ]
        return m
