"""The instruction memory: two pages, written by LOAD beat by beat."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.hw.layouts import INSTRUCTION_BITS
from gatewright.hw.signatures import BEAT_BITS, instruction_write


class InstructionMemory(wiring.Component):
    """``instruction`` is that of ``entry`` READ cycles before: the memory, its output register."""

    READ = 2

    def __init__(self, arch: ArchConfig) -> None:
        self._entries = arch.instruction_entries
        super().__init__(
            {
                "write": In(instruction_write(arch)),
                "entry": In(ceil_log2(self._entries)),
                "instruction": Out(INSTRUCTION_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for part in range(INSTRUCTION_BEATS):
            bank = memory.Memory(shape=BEAT_BITS, depth=self._entries, init=[])
            m.submodules[f"part_{part}"] = bank
            write, read = bank.write_port(), bank.read_port()
            output = Signal(BEAT_BITS, name=f"output_{part}", reset_less=True)
            m.d.comb += [
                write.addr.eq(self.write.entry),
                write.data.eq(self.write.data),
                write.en.eq(self.write.valid & (self.write.part == part)),
                read.addr.eq(self.entry),
                self.instruction[part * BEAT_BITS : (part + 1) * BEAT_BITS].eq(output),
            ]
            m.d.sync += output.eq(read.data)
        return m
