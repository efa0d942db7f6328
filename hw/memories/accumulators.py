"""The accumulator banks: memories that ARRAY updates and EPILOGUE reads, each bank one's or the other's."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ACCUMULATOR_BANKS, ArchConfig
from gatewright.contract.arithmetic import ACCUMULATOR_BITS
from gatewright.contract.registers import ErrorCode
from gatewright.hw.signatures import accumulator_read, accumulator_write


class Accumulators(wiring.Component):
    """Four banks of ``columns`` int32 entries, one port to read and one to write each.

    A bank's read port follows ARRAY's request where there is one for it, else EPILOGUE's address: EPILOGUE's ``valid``
    may be late in its cycle. ``conflict`` is 1 in the cycle after both units used one bank.
    """

    CONFLICT = ErrorCode.ACCUMULATOR_PORT

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "array_read": In(accumulator_read(arch)),
                "array_write": In(accumulator_write(arch)),
                "epilogue_read": In(accumulator_read(arch)),
                "conflict": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The banks, and for each reader a register behind the choice of its bank."""
        m = Module()
        width = ACCUMULATOR_BITS * self._arch.columns
        array, epilogue, write = self.array_read, self.epilogue_read, self.array_write
        words, collisions = [], []
        for number in range(ACCUMULATOR_BANKS):
            bank = Memory(shape=width, depth=self._arch.accumulator_depth, init=[])
            m.submodules[f"bank_{number}"] = bank
            read, store = bank.read_port(), bank.write_port()
            by_array = Signal(name=f"array_reads_{number}")
            m.d.comb += [
                by_array.eq(array.valid & (array.bank == number)),
                read.addr.eq(Mux(by_array, array.entry, epilogue.entry)),
                read.en.eq(1),
                store.addr.eq(write.entry),
                store.data.eq(write.lanes.as_value()),
                store.en.eq(write.valid & (write.bank == number)),
            ]
            words.append(read.data)
            collisions.append(epilogue.valid & (epilogue.bank == number) & (by_array | store.en))
        m.d.sync += self.conflict.eq(Cat(collisions).any())
        for name, reader in (("array", array), ("epilogue", epilogue)):
            chosen = Signal.like(reader.bank, name=f"{name}_bank", reset_less=True)
            word = Signal(width, name=f"{name}_word", reset_less=True)
            m.d.sync += chosen.eq(reader.bank)
            with m.Switch(chosen):
                for number, data in enumerate(words):
                    with m.Case(number):
                        m.d.sync += word.eq(data)
            m.d.comb += reader.lanes.eq(word)
        return m
