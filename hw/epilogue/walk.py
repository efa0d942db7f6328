"""The slots of an EPILOGUE: what enters its pipeline in each cycle, in the order of its counters."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import MOST_COLUMNS, TRANSPOSED_FILTERS, ArchConfig
from gatewright.contract.encodings import DEPTHWISE_PARTS
from gatewright.contract.isa import Opcode
from gatewright.contract.timing import EPILOGUE_SETUP
from gatewright.hw.epilogue.kernel_row import KernelRow
from gatewright.hw.epilogue.setup import KERNEL_BITS, VECTOR_BITS, work_layout
from gatewright.hw.layouts import operand_layout
from gatewright.hw.signatures import LANE_COUNT_BITS, POSITION_BITS

ENTRY_BITS = operand_layout(Opcode.EPILOGUE)["accumulator"].width
LANE_BITS = ceil_log2(MOST_COLUMNS)

KIND = data.StructLayout(
    dict.fromkeys(("parameter", "entry", "sum", "total", "sign", "collect", "transposed", "pool"), 1)
)
"""What a slot does; at most one is 1, none in an empty slot.

parameter: read a parameter entry into one lane's registers, or into all. entry: turn an accumulator entry into a
pixel's bytes. sum: add an accumulator entry to the reduction. total: turn the reduction into bytes or int32. sign:
turn an accumulator entry into mask bits. collect: turn an accumulator entry, of one filter, into bytes for the
transposer. transposed: write a pixel's bytes from the transposer. pool: turn a tile's sums into averages.
A window is a tile whose pixels are entries that come by the residual's queue: no accumulator is read for them, and none
of them is written. With TAPS a pixel is an entry of the accumulators, of which the lane in ``details`` counts."""

DETAILS = data.StructLayout(
    {"first": 1, "lane": LANE_BITS, "part": KERNEL_BITS, "count": LANE_COUNT_BITS, "accumulator": ENTRY_BITS}
)
"""``first``: of a block's sums, or of a tile's pixels. ``lane``: parameter and transposed: a lane; collect: the
transposer's row; pool, of the kind DIGITS: 1 for the lower digit; entry, of the kind TAPS: the lane of its place in
the window. ``part``, of the kind DEPTHWISE: which of the lane's parameter entries, or the pixel's row of the kernel.
``count``: lanes with results."""


class Step(enum.Enum, shape=3):  # type: ignore[call-arg]
    """The slot that comes next: its place in the loops."""

    PARAMETER = 0
    GAP = 1
    """Nothing: port B needs a cycle for the residual of the pixel behind."""
    VALUE = 2
    """An accumulator entry."""
    AFTER = 3
    """A total, a tile's average, or a window's result."""
    TRANSPOSED = 4


class EpilogueWalk(wiring.Component):
    """The counters of an EPILOGUE.

    ``take`` in cycle s, with ``prepared``; ``work`` is the same from the next cycle on. The parameters of the first
    block follow from s on, a slot a cycle. ``ready``: the run may begin in the next cycle. ``go``: the first slot of
    the work enters. ``kind`` and ``details`` are those of the slot of the cycle before, its pipeline's stage 1;
    ``last`` is 1 with the last one. ``position``: of the parameter of this cycle's slot in the filters' list.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "take": In(1),
                "go": In(1),
                "prepared": In(work_layout(arch)),
                "work": In(work_layout(arch)),
                "ready": Out(1),
                "position": Out(POSITION_BITS),
                "kind": Out(KIND),
                "details": Out(DETAILS),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        prepared = self.prepared
        self._step, self._lane = Signal(Step), Signal(LANE_BITS)
        self._loading, self._working = Signal(), Signal()
        self._accumulator = Signal(ENTRY_BITS, reset_less=True)
        self._pixels, self._filters = (Signal(VECTOR_BITS, name=n, reset_less=True) for n in ("pixels", "filters"))
        self._inside = Signal(prepared.last_inside.shape(), reset_less=True)
        self._more = Signal(signed(VECTOR_BITS + 1), reset_less=True)
        self._last_lane = Signal(ceil_log2(self._arch.columns), reset_less=True)
        # Registers beside them: the last row of a group in the transposer, and whether the group is the last; whether
        # the next pixel is a tile's last.
        self._group_last, self._last_group = Signal(LANE_BITS, reset_less=True), Signal(reset_less=True)
        self._inside_ends = Signal(reset_less=True)
        self._before_last = Signal.like(self._inside, name="before_last", reset_less=True)
        m.d.sync += self._before_last.eq(self.work.last_inside - 1)
        self._part = Signal(KERNEL_BITS)
        self._row = KernelRow(m, self.work)
        advance = Signal()
        self._lane_ends, self._part_ends = Signal(), Signal()
        m.d.comb += [
            advance.eq((self.take & prepared.preload) | self._loading | self.go | self._working),
            self._lane_ends.eq(self._lane == self._last_lane),
            self._part_ends.eq(~self.work.depthwise | (self._part == DEPTHWISE_PARTS - 1)),
        ]

        self._slot(m, advance)
        more_parameters = prepared.preload & ~prepared.preload_ends
        body = Mux(prepared.residual, Step.GAP, Step.VALUE)
        with m.If(self.take):
            m.d.sync += [
                self._loading.eq(more_parameters),
                self._lane.eq(more_parameters & ~prepared.depthwise),
                self._part.eq(more_parameters & prepared.depthwise),
                # Between instructions it is PARAMETER, for the slot of the start.
                self._step.eq(Mux(more_parameters | prepared.empty, Step.PARAMETER, body)),
                self.position.eq(prepared.first_filter + (prepared.preload & ~prepared.depthwise)),
                self._accumulator.eq(prepared.accumulator),
                self._pixels.eq(prepared.pixels),
                *self._groups(prepared.filters, 0),
                self._inside.eq(0),
                self._inside_ends.eq(prepared.last_inside == 0),
                self._more.eq(prepared.more),
                self._last_lane.eq(prepared.last_lane),
                *self._row.begin(prepared),
            ]
        with m.Elif(advance):
            with m.If(self.go):
                m.d.sync += self._working.eq(1)
            self._next(m)

        # Both are over: the setup, and the parameters of the first block.
        setup, elapsed = Signal(range(EPILOGUE_SETUP), reset_less=True), Signal()
        m.d.sync += setup.eq(Mux(self.take, EPILOGUE_SETUP - 1, setup - 1))
        with m.If(self.take):
            m.d.sync += elapsed.eq(0)
        with m.Elif(setup == 1):
            m.d.sync += elapsed.eq(1)
        loaded = ~self._loading | (self._lane_ends & self._part_ends)
        m.d.comb += self.ready.eq(~self.take & (elapsed | (setup == 1)) & loaded)
        return m

    def _groups(self, filters: Any, less: int) -> list[Any]:
        """The filters are ``filters`` - ``less``, of which ``less`` is a multiple of TRANSPOSED_FILTERS."""
        low = filters[: ceil_log2(TRANSPOSED_FILTERS)]
        return [
            self._filters.eq(filters - less),
            self._group_last.eq(Mux(filters < less + TRANSPOSED_FILTERS, low - 1, TRANSPOSED_FILTERS - 1)),
            self._last_group.eq(filters <= less + TRANSPOSED_FILTERS),
        ]

    def _slot(self, m: Module, advance: Signal) -> None:
        """The slot of this cycle, into stage 1."""
        work, step = self.work, self._step
        value = step == Step.VALUE
        kinds = {
            "parameter": step == Step.PARAMETER,
            "entry": value & work.store & ~work.by_pixel,
            "sum": value & (work.reduce | work.raw),
            "total": (step == Step.AFTER) & (~work.store | work.depthwise),
            "sign": value & work.threshold,
            "collect": value & work.store & work.by_pixel,
            "transposed": step == Step.TRANSPOSED,
            "pool": (step == Step.AFTER) & work.store & ~work.depthwise,
        }
        m.d.sync += [getattr(self.kind, name).eq(advance & holds) for name, holds in kinds.items()]
        m.d.sync += [
            self.details.lane.eq(self._lane),
            self.details.part.eq(Mux(step == Step.PARAMETER, self._part, self._inside)),
            self.details.count.eq(Mux(step == Step.TRANSPOSED, self._group_last, self._last_lane) + 1),
            self.details.accumulator.eq(self._accumulator),
            self.details.first.eq(Mux(work.store, self._inside == 0, self._pixels == work.pixels)),
            self.last.eq(0),
        ]

    def _next(self, m: Module) -> None:
        """The counters behind this cycle's slot."""
        work, step, lane = self.work, self._step, self._lane
        lane_ends, part_ends = self._lane_ends, self._part_ends
        pixel_ends, tile_ends, block_ends, collected = Signal(), Signal(), Signal(), Signal()
        pixel = Mux(work.residual, Step.GAP, Step.VALUE)
        m.d.comb += [
            pixel_ends.eq(self._pixels == 1),
            tile_ends.eq(work.paired & self._inside_ends & self._row.due),
            collected.eq(lane == self._group_last),
        ]
        with m.Switch(step):
            with m.Case(Step.PARAMETER):
                m.d.sync += self._part.eq(Mux(part_ends, 0, self._part + 1))
                with m.If(part_ends):
                    m.d.sync += [self.position.eq(self.position + 1), lane.eq(Mux(lane_ends, 0, lane + 1))]
                with m.If(lane_ends & part_ends):
                    m.d.sync += [step.eq(pixel), self._loading.eq(0)]
            with m.Case(Step.GAP):
                m.d.sync += step.eq(Step.VALUE)
            with m.Case(Step.VALUE):
                m.d.sync += self._accumulator.eq(self._accumulator + 1)
                with m.If(work.threshold):
                    m.d.comb += block_ends.eq(1)
                with m.Elif(work.by_pixel):
                    m.d.sync += [self.position.eq(self.position + 1), lane.eq(Mux(collected, 0, lane + 1))]
                    with m.If(collected):
                        m.d.sync += step.eq(Step.TRANSPOSED)
                with m.Else():
                    m.d.sync += [
                        self._pixels.eq(Mux(tile_ends | ~work.windows, self._pixels - 1, self._pixels)),
                        self._inside.eq(Mux(self._inside_ends, 0, self._inside + 1)),
                        self._inside_ends.eq(
                            Mux(self._inside_ends, work.last_inside == 0, self._inside == self._before_last)
                        ),
                        step.eq(pixel),
                    ]
                    with m.If(self._inside_ends):
                        m.d.sync += self._row.advance()
                    with m.If(work.taps):
                        m.d.sync += lane.eq(lane + 1)
                    with m.If(Mux(work.store, tile_ends, pixel_ends)):
                        m.d.sync += step.eq(Step.AFTER)
                    with m.Elif(pixel_ends & ~work.windows):
                        m.d.comb += block_ends.eq(1)
            with m.Case(Step.AFTER):
                with m.If(work.split & ~lane[0]):
                    m.d.sync += lane.eq(1)
                with m.Else():
                    m.d.sync += [step.eq(pixel), lane.eq(0)]
                    # The pixels are counted: none is left behind the last.
                    m.d.comb += block_ends.eq(self._pixels == 0)
            with m.Case(Step.TRANSPOSED):
                m.d.sync += lane.eq(Mux(lane_ends, 0, lane + 1))
                with m.If(lane_ends):
                    m.d.sync += [step.eq(Step.VALUE), *self._groups(self._filters, TRANSPOSED_FILTERS)]
                    m.d.comb += block_ends.eq(self._last_group)
        with m.If(block_ends):
            m.d.sync += [
                step.eq(Mux(work.by_pixel | (work.windows & ~work.depthwise), Step.VALUE, Step.PARAMETER)),
                *self._row.begin(work),
                self._pixels.eq(work.pixels),
                *self._groups(work.filters, 0),
                self._inside.eq(0),
                self._inside_ends.eq(work.last_inside == 0),
                self._more.eq(self._more - self._arch.columns),
                self._last_lane.eq(Mux(self._more < self._arch.columns, self._more - 1, self._arch.columns - 1)),
            ]
            with m.If(work.by_pixel):
                m.d.sync += self.position.eq(work.first_filter)
            with m.If(self._more <= 0):
                # A block of parameters is what comes first of the next instruction.
                m.d.sync += [step.eq(Step.PARAMETER), self._working.eq(0), self.last.eq(1)]
