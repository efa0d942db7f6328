"""EPILOGUE's request to the scratchpad: a pixel's bytes, or the int32 of a raw total, a few lanes at a time."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import PORT_BYTES, TRANSPOSED_FILTERS, ArchConfig
from gatewright.contract.arithmetic import ACCUMULATOR_BITS
from gatewright.contract.encodings import LOGIT_BYTES, RAW_LANES, RAW_WRITES
from gatewright.hw.signatures import LANE_COUNT_BITS, SCRATCHPAD_ADDRESS_BITS, WRITE_COUNT_BITS, scratchpad_write


class EpilogueOutput(wiring.Component):
    """The request's register.

    ``valid``, ``address``, ``count`` and ``data`` are on the port in the next cycle. ``raw``: ``raw_count`` lanes of
    ``raw_lanes``, which must stand still for RAW_WRITES cycles, are on it in the RAW_WRITES next ones.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._columns = arch.columns
        self._bytes = max(arch.columns, TRANSPOSED_FILTERS)
        super().__init__(
            {
                "valid": In(1),
                "address": In(SCRATCHPAD_ADDRESS_BITS),
                "count": In(WRITE_COUNT_BITS),
                "data": In(8 * self._bytes),
                "raw": In(1),
                "raw_address": In(SCRATCHPAD_ADDRESS_BITS),
                "raw_count": In(LANE_COUNT_BITS),
                "raw_lanes": In(ACCUMULATOR_BITS * arch.columns),
                "write": Out(scratchpad_write(PORT_BYTES)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write = self.write
        valid, address = Signal(), Signal(SCRATCHPAD_ADDRESS_BITS, reset_less=True)
        count, content = Signal(WRITE_COUNT_BITS, reset_less=True), Signal(8 * PORT_BYTES, reset_less=True)
        m.d.comb += [write.valid.eq(valid), write.address.eq(address), write.count.eq(count)]
        m.d.comb += Cat(*write.data).eq(content)

        # Which of the RAW_WRITES groups leaves now, and the lanes that are left with it.
        turns = Signal(RAW_WRITES - 1)
        left = Signal(6, reset_less=True)
        lanes = Signal(6)
        turn = Cat(self.raw, turns)
        m.d.comb += lanes.eq(Mux(self.raw, self.raw_count, left))
        m.d.sync += turns.eq(Cat(self.raw, turns[:-1]))
        m.d.sync += left.eq(Mux(lanes > RAW_LANES, lanes - RAW_LANES, 0))
        m.d.sync += [
            valid.eq(Mux(turn.any(), lanes != 0, self.valid)),
            count.eq(Mux(turn.any(), Mux(lanes > RAW_LANES, RAW_LANES, lanes) << 2, self.count)),
            address.eq(
                Mux(turns.any(), address + LOGIT_BYTES * RAW_LANES, Mux(self.raw, self.raw_address, self.address))
            ),
        ]
        group_bits = ACCUMULATOR_BITS * RAW_LANES
        with m.If(self.raw):
            m.d.sync += content.eq(self.raw_lanes[:group_bits])
        for number in range(1, RAW_WRITES):
            begin = number * group_bits
            if begin < len(self.raw_lanes):
                with m.Elif(turns[number - 1]):
                    m.d.sync += content.eq(self.raw_lanes[begin : begin + group_bits])
        with m.Else():
            m.d.sync += content.eq(self.data)
        return m
