"""The end of ARRAY's pipeline: what walks beside the data, and the accumulator entries' read, addition and write."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import ACCUMULATOR_BANKS, ArchConfig
from gatewright.contract.arithmetic import ACCUMULATOR_BITS
from gatewright.contract.timing import ACCUMULATOR_LATENCY, array_latency
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import ACCUMULATOR_READ, accumulator_read, accumulator_write, lanes

assert ACCUMULATOR_LATENCY == ACCUMULATOR_READ + 2, "the entry's read, the addition, and the write"


def target_layout(arch: ArchConfig) -> data.StructLayout:
    """An accumulator entry, and what happens to it.

    ``add``: the sums are added to the entry; ``zero``: the sums are zero, whatever the grid says.
    """
    return data.StructLayout(
        {
            "bank": ceil_log2(ACCUMULATOR_BANKS),
            "entry": ceil_log2(arch.accumulator_depth),
            "add": 1,
            "zero": 1,
        }
    )


class Accumulation(wiring.Component):
    """A streamed vector's target enters in the cycle of its address; its entry is written array_latency cycles later.

    ``last`` ends a MATMUL, with or without a ``valid`` target; ``done`` is 1 in the cycle before that write.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._latency = array_latency(arch.rows, arch.columns)
        self._columns = arch.columns
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "target": In(target_layout(arch)),
                "sums": In(lanes(arch.columns, ACCUMULATOR_BITS)),
                "read": Out(accumulator_read(arch)),
                "write": Out(accumulator_write(arch)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages = ACCUMULATOR_READ + 1
        before = self._latency - stages
        # Registers with state, reset: what is in them writes, or completes an instruction.
        valid, last = Signal(self._latency), Signal(self._latency - 1)
        m.d.sync += [valid.eq((valid << 1) | self.valid), last.eq((last << 1) | self.last)]
        reading = delayed(m, self.target, before, "target")
        zeroing = delayed(m, reading, ACCUMULATOR_READ - 1, "zeroing")
        adding = delayed(m, zeroing, 1, "adding")
        writing = delayed(m, adding, 1, "writing")
        m.d.comb += [
            self.read.valid.eq(valid[before - 1] & reading.add),
            self.read.bank.eq(reading.bank),
            self.read.entry.eq(reading.entry),
            self.write.valid.eq(valid[-1]),
            self.write.bank.eq(writing.bank),
            self.write.entry.eq(writing.entry),
            self.done.eq(last[-1]),
        ]
        for lane in range(self._columns):
            waiting: Any = delayed(m, self.sums[lane], ACCUMULATOR_READ - 1, f"sum_{lane}")
            product = Signal(ACCUMULATOR_BITS, name=f"product_{lane}", reset_less=True)
            result = Signal(ACCUMULATOR_BITS, name=f"result_{lane}", reset_less=True)
            m.d.sync += [
                product.eq(Mux(zeroing.zero, 0, waiting)),
                result.eq(product + Mux(adding.add, self.read.lanes[lane], 0)),
            ]
            m.d.comb += self.write.lanes[lane].eq(result)
        return m
