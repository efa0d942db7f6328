"""The pipeline of EPILOGUE: from an accumulator entry's read to the write of its bytes, or of its mask bits."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import PORT_BYTES, TRANSPOSED_FILTERS, ArchConfig
from gatewright.contract.arithmetic import ACCUMULATOR_BITS, MULTIPLIER_BITS
from gatewright.contract.encodings import DIGIT_BITS, LOGIT_BYTES
from gatewright.hw.epilogue.averages import averages
from gatewright.hw.epilogue.kernel_sums import KERNEL_STAGES, KERNEL_SUM_BITS, KernelSums
from gatewright.hw.epilogue.output import EpilogueOutput
from gatewright.hw.epilogue.pixel_address import PLACED
from gatewright.hw.epilogue.requantise import STEP_BITS, VALUE_BITS, halves, product, saturated
from gatewright.hw.epilogue.setup import work_layout
from gatewright.hw.epilogue.stages import ADDRESS, BIAS, COLLECT, MASK, OUTPUT, POOLED, RAW_STAGE, READ, SATURATE, STEP
from gatewright.hw.epilogue.transposer import Transposer
from gatewright.hw.epilogue.walk import DETAILS, KIND
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import (
    PARAMETER,
    SCRATCHPAD_ADDRESS_BITS,
    accumulator_read,
    lanes,
    mask_write,
    scratchpad_write,
)

KEPT = ("relu", "maximum", "split", "taps", "windows")
"""What the stages behind ADDRESS have to know of their slots' instruction."""


class EpiloguePipeline(wiring.Component):
    """Stages behind the slot (``kind``, ``details``: stage 1), and the registers that stand beside them.

    ``parameter`` and ``accumulators`` belong to the slot in stage BIAS, ``early`` to that in front of it. A slot's
    parameters reach the lanes' registers as the slot passes, in BIAS for a collect slot's own entry, so that they never
    disturb the entries in front of it.

    The next instruction ``start``s when the last slot is in stage ADDRESS. ``settled``: no slot of the one before is
    left. So stages up to ADDRESS look at ``work``, and those behind it at what was kept of it before the start.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "start": In(1),
                "settled": In(1),
                "prepared": In(work_layout(arch)),
                "work": In(work_layout(arch)),
                "kind": In(KIND),
                "details": In(DETAILS),
                "accumulators": Out(accumulator_read(arch)),
                "parameter": In(PARAMETER),
                "early": In(PARAMETER),
                "pixel": In(PLACED),
                "take_pixel": Out(1),
                "tile": In(PLACED),
                "take_tile": Out(1),
                "tap": In(PLACED),
                "take_tap": Out(1),
                "residual": In(lanes(arch.columns)),
                "take_residual": Out(1),
                "write": Out(scratchpad_write(PORT_BYTES)),
                "mask": Out(mask_write(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._through = self.work.windows & ~self.work.depthwise
        self._kept = Signal(data.StructLayout(dict.fromkeys(KEPT, 1)), reset_less=True)
        with m.If(self.settled):
            m.d.sync += [getattr(self._kept, name).eq(getattr(self.work, name)) for name in KEPT]
        self._stages(m)
        self._kernel_sums(m)
        read, details = self._kind[READ], self._details[READ]
        m.d.comb += [
            self.accumulators.valid.eq(
                (read.entry & (~self.work.windows | (self.work.taps & ~self._tap_outside)))
                | (read.sum | read.sign | read.collect)
            ),
            self.accumulators.bank.eq(self.work.bank),
            self.accumulators.entry.eq(details.accumulator),
        ]
        biased, multipliers = self._bias(m)
        above_threshold = self._taps(m)
        values = self._requantise(m, biased, multipliers)
        place = self._addresses(m)
        outside = delayed(m, place.outside, COLLECT - ADDRESS - 1, "outside")
        pooled = averages(
            m,
            values,
            outside,
            kinds=self._kind,
            details=self._details,
            work=self.work,
            kept=self._kept,
            parameter=self.parameter,
        )
        signs = Cat(Mux(self.work.taps, above_threshold, ~biased[0][-1]), *(~value[-1] for value in biased[1:]))
        self._leave(m, biased, values, pooled, signs, place)
        return m

    def _stages(self, m: Module) -> None:
        """``self._kind[n]``, ``self._details[n]``: the slot in stage n."""
        kinds: list[Any] = [None, self.kind]
        for stage in range(2, OUTPUT + 1):
            kind = Signal(KIND, name=f"kind_{stage}")
            m.d.sync += kind.eq(kinds[-1])
            if stage == RAW_STAGE + 1:
                # A raw total has left, and the next instruction may come before its slot is at the end.
                m.d.sync += kind.total.eq(kinds[-1].total & ~self.work.raw)
            kinds.append(kind)
        self._kind = kinds
        self._details = [None, self.details]
        for stage in range(2, OUTPUT + 1):
            self._details.append(delayed(m, self._details[-1], 1, f"details_{stage}", early=stage == BIAS - 1))
        m.d.comb += self.take_tap.eq(self.kind.entry & self.work.taps)
        self._tap_outside = delayed(m, self.tap.outside, 1, "tap_outside_at_read")
        with m.If(self.work.taps):
            m.d.sync += self._details[READ].accumulator.eq(self.tap.address)

    def _kernel_sums(self, m: Module) -> None:
        """The sums of the kind DEPTHWISE that are complete, in stage BIAS."""
        self._kernels: Any = None
        if not self._arch.depthwise:
            return
        m.submodules.kernel_sums = kernels = KernelSums(self._arch)
        kind, details, work = self._kind, self._details, self.work
        assert BIAS == READ + KERNEL_STAGES
        m.d.comb += [
            kernels.load.eq(kind[BIAS].parameter),
            kernels.lane.eq(details[BIAS].lane),
            kernels.part.eq(details[BIAS].part),
            kernels.parameter.eq(self.parameter),
            kernels.kernel_last.eq(work.kernel_last),
            kernels.row.eq(details[READ].part),
            kernels.pixels.eq(self.residual),
            kernels.outside.eq(self.pixel.outside),
            kernels.add.eq(kind[BIAS].entry),
            kernels.first.eq(details[BIAS].first),
        ]
        self._kernels = kernels.sums

    def _bias(self, m: Module) -> tuple[list[Signal], list[Signal]]:
        """Stage BIAS: (value, multiplier) of each lane in the next stage."""
        kind, details, work = self._kind[BIAS], self._details[BIAS], self.work
        values, multipliers = [], []
        for lane in range(self._arch.columns):
            bias = Signal(signed(ACCUMULATOR_BITS), name=f"bias_{lane}", reset_less=True)
            multiplier = Signal(MULTIPLIER_BITS, name=f"multiplier_{lane}", reset_less=True)
            total = Signal(signed(ACCUMULATOR_BITS), name=f"total_{lane}", reset_less=True)
            value = Signal(signed(VALUE_BITS), name=f"value_{lane}", reset_less=True)
            factor = Signal(MULTIPLIER_BITS, name=f"factor_{lane}", reset_less=True)
            if lane == 0:
                self._first_bias = bias
            entry = self.accumulators.lanes[lane].as_signed()
            with m.If(self._takes_parameter(BIAS - 1, lane)):
                m.d.sync += [bias.eq(self.early.bias), multiplier.eq(self.early.multiplier)]
            with m.If(kind.sum):
                # Of two digits the first, which is there when the second comes, is the upper one.
                before = Mux(work.digits, total.shift_left(DIGIT_BITS)[:ACCUMULATOR_BITS], total)
                m.d.sync += total.eq(entry + Mux(details.first, 0, before))
            # A raw total stands still until it is written: nothing but totals comes here meanwhile.
            with m.If(~work.raw | kind.total):
                whole = total
                if self._kernels is not None:
                    kernel_sum = self._kernels.word_select(lane, KERNEL_SUM_BITS).as_signed()
                    whole = Mux(work.depthwise, kernel_sum, total)
                m.d.sync += value.eq(bias + Mux(kind.total, whole, entry))
            m.d.sync += factor.eq(multiplier)
            # Of a window's pixel nothing but what is added as a residual is left. Both factors: registers that hold
            # nothing yet are unknown, and stay so in a simulator when they are multiplied by zero.
            with m.If(self._through):
                m.d.sync += [value.eq(0), factor.eq(0)]
            values.append(value)
            multipliers.append(factor)
        return values, multipliers

    def _takes_parameter(self, stage: int, lane: int) -> Value:
        """Whether the slot in a stage brings a lane's parameter: those of collect slots are for all lanes."""
        kind, for_all = self._kind[stage], self.work.single
        return kind.collect | (kind.parameter & (for_all | (self._details[stage].lane == lane)))

    def _taps(self, m: Module) -> Value:
        """Whether the sum of a window's taps and the bias is at least 0, of the kind TAPS, in the stage behind BIAS.

        An adder of its own behind the choice of the lane: the lanes' own ones have no time for that.
        """
        entry, details, work = self._kind[BIAS + 1].entry, self._details, self.work
        outside = delayed(m, self._tap_outside, BIAS - READ, "tap_outside")
        tap = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        total = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        lane = Array(lane.as_signed() for lane in self.accumulators.lanes)[details[BIAS].lane]
        m.d.sync += tap.eq(Mux(outside, 0, lane))
        with m.If(entry & work.taps):
            m.d.sync += total.eq(tap + Mux(details[BIAS + 1].first, self._first_bias, total))
        return ~total[-1]

    def _requantise(self, m: Module, biased: list[Signal], multipliers: list[Signal]) -> Any:
        """Stages BIAS + 1 to SATURATE: the bytes of all lanes in stage COLLECT."""
        work = self.work
        own = delayed(m, (self.parameter.shift - 1)[:STEP_BITS], STEP - 1 - BIAS, "own_step")
        values = Signal(lanes(self._arch.columns), reset_less=True)
        for lane, (value, multiplier) in enumerate(zip(biased, multipliers, strict=True)):
            step = Signal(STEP_BITS, name=f"step_{lane}", reset_less=True)
            chosen = Signal(STEP_BITS, name=f"chosen_step_{lane}", reset_less=True)
            with m.If(self._takes_parameter(STEP - 1, lane)):
                m.d.sync += step.eq(own)
            m.d.sync += chosen.eq(step)
            with m.If(self._through):
                m.d.sync += chosen.eq(0)
            scaled = halves(m, product(m, value, multiplier, f"product_{lane}"), chosen, f"scaled_{lane}")
            addend = Signal(8, name=f"addend_{lane}", reset_less=True)
            m.d.sync += addend.eq(Mux(work.adds, self.residual[lane], 0))
            m.d.sync += values[lane].eq(saturated(scaled, addend, self._kept.relu))
        # A register behind the queue, whose memory is late.
        m.d.comb += self.take_residual.eq(
            (self._kind[SATURATE - 1].entry & work.adds) | (self._kind[READ].entry & work.depthwise)
        )
        return values

    def _addresses(self, m: Module) -> Any:
        """Stage ADDRESS: where the slot's results go, in the next stage."""
        kind, work = self._kind[ADDRESS], self.work
        of_block = Signal(SCRATCHPAD_ADDRESS_BITS, reset_less=True)
        with m.If((work.raw & self._kind[RAW_STAGE].total) | kind.total | kind.sign):
            m.d.sync += of_block.eq(of_block + Mux(work.raw, LOGIT_BYTES * self._arch.columns, self._arch.columns))
        with m.If(self.start):
            m.d.sync += of_block.eq(self.prepared.base)
        self._of_block = of_block
        place = Signal(PLACED, reset_less=True)
        from_pixel, from_tile = kind.entry | kind.transposed, kind.pool | (kind.total & work.depthwise)
        m.d.comb += [
            self.take_pixel.eq(Mux(work.depthwise, self._kind[READ].entry, from_pixel)),
            self.take_tile.eq(from_tile),
        ]
        m.d.sync += [
            place.address.eq(Mux(from_pixel, self.pixel.address, Mux(from_tile, self.tile.address, of_block))),
            place.outside.eq(Mux(from_pixel, self.pixel.outside, from_tile & self.tile.outside)),
        ]
        return place

    def _leave(
        self, m: Module, biased: list[Signal], values: Any, averages: list[Any], signs: Value, place: Any
    ) -> None:
        """Stages COLLECT to OUTPUT, and MASK: transposed or not, to the scratchpad or to the masks."""
        kind, details, work, kept = self._kind, self._details, self.work, self._kept
        m.submodules.transposer = transposer = Transposer(self._arch.columns)
        m.d.comb += [
            transposer.write.eq(kind[COLLECT].collect),
            transposer.row.eq(details[COLLECT].lane),
            transposer.data.eq(values),
            transposer.column.eq(details[COLLECT].lane),
        ]
        straight = Cat(*(byte for byte in delayed(m, values, POOLED - COLLECT, "values")))
        merged = Signal(max(len(straight), 8 * TRANSPOSED_FILTERS), reset_less=True)
        turned = Cat(*transposer.result)
        m.d.sync += merged.eq(Mux(kind[POOLED].transposed, turned, straight))
        pooled = Cat(saturated(average, Const(0, 8), Const(0)) for average in averages)

        m.submodules.output = output = EpilogueOutput(self._arch)
        leaving = kind[OUTPUT]
        where = delayed(m, place, OUTPUT - ADDRESS - 1, "place")
        m.d.comb += [
            output.valid.eq(
                ((leaving.entry & ~kept.windows) | leaving.transposed | (leaving.pool & ~kept.taps) | leaving.total)
                & ~where.outside
            ),
            output.address.eq(where.address),
            output.count.eq(details[OUTPUT].count),
            output.data.eq(Mux(leaving.pool, pooled, merged)),
            output.raw.eq(work.raw & kind[RAW_STAGE].total),
            output.raw_address.eq(self._of_block),
            output.raw_count.eq(details[RAW_STAGE].count),
            output.raw_lanes.eq(Cat(value[:ACCUMULATOR_BITS] for value in biased)),
        ]
        wiring.connect(m, wiring.flipped(self.write), output.write)

        m.d.comb += [
            self.mask.valid.eq(kind[MASK].sign | (kind[MASK].pool & kept.taps & ~place.outside)),
            self.mask.address.eq(place.address),
            self.mask.count.eq(details[MASK].count),
            self.mask.bits.eq(delayed(m, signs, MASK - BIAS - 1, "signs")),
        ]
