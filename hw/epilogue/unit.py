"""EPILOGUE: accumulator entries become bytes of a map, sums, mask bits and tile averages."""

from __future__ import annotations

from typing import Any, ClassVar

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import PORT_BYTES, ArchConfig
from gatewright.contract.encodings import DEPTHWISE_ENTRIES
from gatewright.contract.isa import WAITS, Unit
from gatewright.contract.timing import (
    DECODE_LATENCY,
    DEPTHWISE_LEAD,
    EPILOGUE_LATENCY,
    EPILOGUE_OVERLAP,
    EPILOGUE_SETUP,
)
from gatewright.hw.control.queue import WaitComparison
from gatewright.hw.control.signatures import completions_signature, head_signature, progress_signature
from gatewright.hw.epilogue.pipeline import EpiloguePipeline
from gatewright.hw.epilogue.pixel_address import PixelAddresses
from gatewright.hw.epilogue.residual import READ_BYTES, ResidualFetch
from gatewright.hw.epilogue.setup import KERNEL_BITS, EpilogueSetup, work_layout
from gatewright.hw.epilogue.stages import ADDRESS, RAW_DELAY
from gatewright.hw.epilogue.walk import EpilogueWalk
from gatewright.hw.layouts import WAIT
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import (
    accumulator_read,
    mask_write,
    parameter_read,
    scratchpad_read,
    scratchpad_write,
    table_counts,
    table_read,
)

assert WaitComparison.LATENCY + 1 <= DECODE_LATENCY
assert WaitComparison.LATENCY + 2 <= EPILOGUE_LATENCY - EPILOGUE_OVERLAP, "waits are kept until a run without work"
assert EPILOGUE_LATENCY - EPILOGUE_OVERLAP + 1 == ADDRESS, "the last slot takes its address as the next one starts"
assert EPILOGUE_OVERLAP < EPILOGUE_SETUP, "what is behind ADDRESS belongs to one instruction"


class EpilogueUnit(wiring.Component):
    """A slot machine in front of the pipeline: preload, wait, work, drain.

    s: the instruction is taken without a look at its waits, which are kept, and its parameters are read. r: the first
    cycle behind the setup in which they are met; the first slot enters. An instruction without work has no setup. The
    next is taken EPILOGUE_OVERLAP cycles before the last slot has left the pipeline, when it takes its address; behind
    a raw total, which comes in late, when it has left. ``waits``: those of the queue's head.
    """

    MEMORY_PORTS: ClassVar = {
        "filters": "tables.epilogue_filter",
        "tiles": "tables.epilogue_tile",
        "mask": "masks.write",
        "write": "scratchpad.epilogue_write",
        "read": "scratchpad.epilogue_read",
        "accumulators": "accumulators.epilogue_read",
        "parameters": "parameters.read",
    }

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "queue": Out(head_signature(Unit.EPILOGUE)),
                "waits": In(data.ArrayLayout(WAIT, WAITS)),
                "completions": Out(completions_signature()),
                "progress": Out(progress_signature()),
                "counts": In(table_counts(arch)),
                "filters": Out(table_read()),
                "tiles": Out(table_read()),
                "accumulators": Out(accumulator_read(arch)),
                "parameters": Out(parameter_read(arch)),
                "write": Out(scratchpad_write(PORT_BYTES)),
                "read": Out(scratchpad_read(READ_BYTES)),
                "mask": Out(mask_write(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.setup = setup = EpilogueSetup(self._arch)
        m.submodules.walk = walk = EpilogueWalk(self._arch)
        m.submodules.pixel_addresses = pixels = PixelAddresses(self._arch)
        m.submodules.residual = residual = ResidualFetch(self._arch)
        m.submodules.pipeline = pipeline = EpiloguePipeline(self._arch)
        work = Signal(work_layout(self._arch), reset_less=True)
        take, run = self.queue.take, self.progress.run
        m.d.comb += [setup.head.eq(self.queue.head), setup.counts.eq(self.counts)]
        with m.If(take):
            m.d.sync += work.eq(setup.work)
        busy = self._control(m, setup.work, work, walk)
        m.d.comb += pipeline.settled.eq(walk.ready)
        for part in (walk, pixels, pipeline):
            m.d.comb += [part.work.eq(work), part.prepared.eq(setup.work)]
        m.d.comb += [walk.take.eq(take), pixels.start.eq(take), pipeline.start.eq(take)]
        self._parameters(m, busy, setup.work, work, walk)

        reading = Signal()
        m.d.sync += reading.eq((reading | run) & ~take)
        m.d.comb += [
            residual.clear.eq(take),
            residual.enable.eq(work.reads & ~work.empty & (reading | run)),
            residual.port_free.eq(~self.write.valid),
            residual.available.eq(pixels.ahead_available),
            residual.address.eq(pixels.ahead.address),
            residual.outside.eq(pixels.ahead.outside),
            pixels.take_ahead.eq(residual.advance | pipeline.take_tap),
            pipeline.tap.eq(pixels.ahead),
            residual.take.eq(pipeline.take_residual),
            pipeline.residual.eq(residual.data),
            pipeline.kind.eq(walk.kind),
            pipeline.details.eq(walk.details),
            pipeline.parameter.eq(self.parameters.parameter),
            pipeline.early.eq(self.parameters.early),
            pipeline.pixel.eq(pixels.pixel),
            pixels.take_pixel.eq(pipeline.take_pixel),
            pipeline.tile.eq(pixels.tile),
            pixels.take_tile.eq(pipeline.take_tile),
        ]
        for mine, inner in (
            (self.tiles, pixels.tiles),
            (self.read, residual.read),
            (self.accumulators, pipeline.accumulators),
            (self.write, pipeline.write),
            (self.mask, pipeline.mask),
        ):
            wiring.connect(m, wiring.flipped(mine), inner)
        return m

    def _control(self, m: Module, prepared: Any, work: Any, walk: Any) -> Signal:
        """Take, run, retire; returns whether an instruction is at work."""
        busy, waiting, ready = Signal(), Signal(), Signal()
        take, run = self.queue.take, self.progress.run
        m.submodules.comparison = comparison = WaitComparison()
        kept = Signal(data.ArrayLayout(WAIT, WAITS), reset_less=True)
        # They follow the head until it is taken and has to wait. From its run on nobody asks for them; those of the
        # head stand still long before it is taken.
        with m.If(~waiting):
            m.d.sync += kept.eq(self.waits)
        met = comparison.met
        m.d.comb += [
            take.eq(self.queue.valid & ~busy),
            self.progress.start.eq(take),
            comparison.waits.eq(kept),
            comparison.counts.eq(self.completions.counts),
            comparison.retires.eq(self.completions.retires),
        ]
        # Without work an instruction may run as it is taken.
        at_once = take & prepared.empty & met
        later = waiting & (ready | work.empty) & met
        m.d.comb += run.eq(at_once | later)
        m.d.sync += ready.eq(walk.ready)
        with m.If(take):
            m.d.sync += [busy.eq(1), waiting.eq(~at_once)]
        with m.Elif(run):
            m.d.sync += waiting.eq(0)

        delay = Signal(RAW_DELAY)
        # Registers: right two cycles behind the take, and a run with work begins later.
        at_run, delayed_run = Signal(reset_less=True), Signal(reset_less=True)
        delays = work.raw | work.depthwise
        assert RAW_DELAY == DEPTHWISE_LEAD
        # ``waiting``, ``ready`` and ``at_run`` in one register: the walk's counters have time for one table more.
        may_begin = Signal()
        m.d.sync += [
            at_run.eq(~work.empty & ~delays),
            delayed_run.eq(~work.empty & delays),
            may_begin.eq(waiting & walk.ready & at_run & ~(may_begin & met)),
            delay.eq(Cat(waiting & ready & met & delayed_run, delay[:-1])),
        ]
        m.d.comb += walk.go.eq((may_begin & met) | delay[-1])

        # Bit n: the last slot is in stage n, of the contract's counting: raw slots enter late, and are further then.
        last = Signal(EPILOGUE_LATENCY + 1)
        nothing = at_once | (later & work.empty)
        late = 2 + RAW_DELAY
        m.d.sync += [
            last.eq(last << 1),
            last[2].eq((walk.last & ~work.raw) | nothing),
            last[late].eq(last[late - 1] | (walk.last & work.raw)),
        ]
        m.d.comb += self.progress.retire.eq(last[-1])
        # Raw totals come in behind the stage in which others let the next instruction in.
        raw_leaves = Signal()
        with m.If(walk.last & work.raw):
            m.d.sync += raw_leaves.eq(1)
        with m.If(last[EPILOGUE_LATENCY - EPILOGUE_OVERLAP] | (self.progress.retire & raw_leaves)):
            m.d.sync += [busy.eq(0), raw_leaves.eq(0)]
        return busy

    def _parameters(self, m: Module, busy: Signal, prepared: Any, work: Any, walk: Any) -> None:
        """Stages 0 and 1: the filter's number, from its table or counted; stage 2: the address of its parameter."""
        position = Signal.like(self.filters.position)
        m.d.comb += [
            self.filters.position.eq(position),
            # The first one is looked up while the instruction waits at its queue's head.
            position.eq(Mux(busy, walk.position, prepared.first_filter)),
            self.filters.table.eq(Mux(busy, work.filter_table, prepared.filter_table)),
        ]
        counted = delayed(m, position, 1, "position")
        # The sum is behind the register: a table's entry comes late in its cycle.
        offset = Signal.like(self.parameters.entry, reset_less=True)
        m.d.sync += offset.eq(Mux(walk.kind.pool, ~0, Mux(work.listed, self.filters.entry, counted)))
        assert 1 << KERNEL_BITS == DEPTHWISE_ENTRIES
        of_channel = Cat(delayed(m, walk.details.part, 1, "part"), offset)[: len(offset)]
        m.d.comb += self.parameters.entry.eq(work.parameters + Mux(work.depthwise, of_channel, offset))
