"""The multipliers of the kind DEPTHWISE: a channel's pixels times its kernel, added up in a lane."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.arithmetic import MULTIPLIER_BITS
from gatewright.contract.encodings import DEPTHWISE_ROWS, MOST_DEPTHWISE_WINDOW
from gatewright.hw.epilogue.setup import KERNEL_BITS
from gatewright.hw.epilogue.walk import LANE_BITS
from gatewright.hw.signatures import PARAMETER, lanes

KERNEL_STAGES = 2
"""From a pixel's cycle to that in which it is added: its register, the product's."""

BYTE = 8
KERNEL_SUM_BITS = (MOST_DEPTHWISE_WINDOW**2 * 2 ** (2 * BYTE - 2)).bit_length() + 1
PAIR_BITS = 2 * BYTE
"""Bits of the lower of two products that share a multiplier."""

KERNEL_ROW = data.StructLayout({"first": BYTE, "upper": BYTE + 1, "third": BYTE})
"""A row of a lane's kernel. ``upper``: the second weight, less 1 if the first, which lies below it in one operand of a
multiplier, is negative."""


class KernelSums(wiring.Component):
    """Weights of each lane, and sums of the windows that the present column of the source is part of.

    ``load``: ``parameter`` is entry ``part`` of lane ``lane``. A pixel comes with ``row``, its row of the kernel; one
    cycle later ``multiply``: its products are formed; one cycle later ``add`` (``first``: it is a column's first)
    brings the sums up to date: ``sums`` are those of the windows that end with the column. A pixel whose ``outside``
    is 1 is zeros. A weight counts from the second cycle behind its ``load`` on.

    Sum k is that of the window whose column k of the kernel lies on the column. A column's first pixel moves each sum
    on, to the next column of the kernel; a kernel with fewer columns begins at a later sum. Two weights of a row share
    a multiplier, as in the array's packed columns.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._columns = arch.columns
        super().__init__(
            {
                "load": In(1),
                "lane": In(LANE_BITS),
                "part": In(KERNEL_BITS),
                "parameter": In(PARAMETER),
                "kernel_last": In(KERNEL_BITS),
                "row": In(KERNEL_BITS),
                "pixels": In(lanes(arch.columns)),
                "outside": In(1),
                "add": In(1),
                "first": In(1),
                "sums": Out(KERNEL_SUM_BITS * arch.columns),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shorter = Signal(MOST_DEPTHWISE_WINDOW)
        m.d.sync += shorter.eq(
            Cat(self.kernel_last == MOST_DEPTHWISE_WINDOW - 1 - place for place in range(MOST_DEPTHWISE_WINDOW))
        )
        bias_bits = len(self.parameter.bias)
        content = Cat(self.parameter.bias, self.parameter.multiplier)
        assert len(content) == bias_bits + MULTIPLIER_BITS
        loaded = [self._row_of(content[BYTE * begin :]) for _, begin in DEPTHWISE_ROWS]
        results = []
        for lane in range(self._columns):
            rows = []
            for number, (entry, _) in enumerate(DEPTHWISE_ROWS):
                kept = Signal(KERNEL_ROW, name=f"weights_{lane}_{number}", reset_less=True)
                with m.If(self.load & (self.lane == lane) & (self.part == entry)):
                    m.d.sync += kept.eq(loaded[number])
                rows.append(kept.as_value())
            chosen = Mux(self.row[1], rows[2], Mux(self.row[0], rows[1], rows[0]))
            results.append(self._lane(m, lane, data.View(KERNEL_ROW, chosen), shorter))
        m.d.comb += self.sums.eq(Cat(results))
        return m

    @staticmethod
    def _row_of(content: Any) -> Any:
        """A row of a kernel, as it is kept."""
        first, second, third = (content.word_select(place, BYTE).as_signed() for place in range(MOST_DEPTHWISE_WINDOW))
        return Cat(first, (second - first[-1])[: BYTE + 1], third)

    def _lane(self, m: Module, lane: int, weights: Any, shorter: Signal) -> Any:
        """The last sum of a lane."""

        def register(name: str, bits: int) -> Signal:
            return Signal(signed(bits), name=f"{name}_{lane}", reset_less=True)

        pixel, pair, third = register("pixel", BYTE), register("pair", PAIR_BITS + BYTE + 1), register("third", BYTE)
        both, single = register("both", PAIR_BITS + 2 * BYTE + 1), register("single", 2 * BYTE)
        sums = [register(f"sum_{place}", KERNEL_SUM_BITS) for place in range(MOST_DEPTHWISE_WINDOW)]
        m.d.sync += [
            pixel.eq(Mux(self.outside, 0, self.pixels[lane])),
            pair.eq(Cat(weights.first, weights.first[-1].replicate(PAIR_BITS - BYTE), weights.upper)),
            third.eq(weights.third),
            both.eq(pixel * pair),
            single.eq(pixel * third),
        ]
        # What the lower product borrowed from the upper one comes back as the carry into the sum.
        borrowed, low, high = both[PAIR_BITS - 1], both[:PAIR_BITS].as_signed(), both[PAIR_BITS:].as_signed()
        before = [0, *sums[:-1]]
        begun = [
            Mux(self.first, Mux(shorter[place], 0, earlier), own)
            for place, (earlier, own) in enumerate(zip(before, sums, strict=True))
        ]
        with m.If(self.add):
            m.d.sync += [
                sums[0].eq(begun[0] + low),
                sums[1].eq((Cat(1, begun[1]).as_signed() + Cat(borrowed, high).as_signed()) >> 1),
                sums[2].eq(begun[2] + single),
            ]
        return sums[-1]
