"""ARRAY: tiles of a MATMUL are loaded, swapped in and streamed past; sums are added to the accumulators."""

from __future__ import annotations

from typing import Any, ClassVar

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import Unit
from gatewright.hw.array.accumulation import Accumulation
from gatewright.hw.array.block_loader import TileLoader
from gatewright.hw.array.block_streamer import TileStreamer
from gatewright.hw.array.completion_order import CompletionOrder
from gatewright.hw.array.grid import Grid, packed_pairs
from gatewright.hw.array.operand_fetch import OperandWalk
from gatewright.hw.array.operand_turn import OperandTurn
from gatewright.hw.array.prepare import ArrayPrepare, start_layout
from gatewright.hw.control.signatures import head_signature, progress_signature
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import (
    OPERAND_READ,
    accumulator_read,
    accumulator_write,
    patch_address_bits,
    patch_read,
    table_counts,
    table_read,
    weight_address_bits,
    weight_read,
)


class ArrayUnit(wiring.Component):
    """A loader and a streamer that hand tiles over through the grid's shadow registers.

    In the cycle in which a MATMUL is taken its first load address leaves; the next tile's first one in the cycle in
    which the shadow registers are swapped. Words come OPERAND_READ cycles after their addresses, and pass the choice
    of bank and the lanes' rotation on their way into the grid's input register.

    Each operand buffer has one walk of addresses, which loads or streams as ``stationary`` says. A MATMUL for which the
    buffers change roles is taken when nothing streams any more, so a walk never has two users.
    """

    MEMORY_PORTS: ClassVar = {
        "filters": "tables.array",
        "patch": "patch_buffer.read",
        "weights": "weight_buffer.read",
        "read": "accumulators.array_read",
        "write": "accumulators.array_write",
    }

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "queue": Out(head_signature(Unit.ARRAY)),
                "progress": Out(progress_signature()),
                "counts": In(table_counts(arch)),
                "filters": Out(table_read()),
                "patch": Out(patch_read(arch)),
                "weights": Out(weight_read(arch)),
                "read": Out(accumulator_read(arch)),
                "write": Out(accumulator_write(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arch = self._arch
        m.submodules.prepare = self._prepare = ArrayPrepare(arch)
        m.submodules.loader = self._loader = TileLoader(arch)
        m.submodules.streamer = self._streamer = TileStreamer(arch)
        m.submodules.patch_walk = self._patch_walk = OperandWalk(
            patch_address_bits(arch), arch.columns, arch.load_vectors, lists=False
        )
        m.submodules.weight_walk = self._weight_walk = OperandWalk(
            weight_address_bits(arch), arch.columns, arch.load_vectors, lists=True
        )
        m.submodules.accumulation = self._accumulation = Accumulation(arch)
        # Of the last MATMUL with work that was taken: what stands still, and until its first swap, what it will stream.
        self._filters_stand, self._patch_held, self._weights_held = Signal(), Signal(), Signal()
        # Where the head begins, a cycle behind it; of what is held, where that MATMUL does.
        self._origin = Signal(start_layout(arch), reset_less=True)
        # Something streams, or begins to in this cycle.
        self._streams = Signal()
        m.d.comb += [
            self._streams.eq(self._streamer.streaming | self._loader.full),
            self._prepare.head.eq(self.queue.head.operands),
            self._prepare.counts.eq(self.counts),
            self._loader.matmul.eq(self._prepare.matmul),
            self._loader.streaming.eq(self._streamer.streaming),
            self._streamer.full.eq(self._loader.full),
            self._streamer.tile.eq(self._loader.tile),
            self._streamer.entry.eq(self._origin.entry),
        ]
        self._take(m)
        self._connect_walks(m)
        self._connect_data(m)
        return m

    def _take(self, m: Module) -> None:
        """The head leaves the queue when the shadow registers are free; and what is kept of it."""
        queue, prepare, loader = self.queue, self._prepare, self._loader
        m.submodules.order = order = CompletionOrder(self._arch)
        ready, waits_for_stream = Signal(), Signal()
        m.d.comb += [
            waits_for_stream.eq(~prepare.empty & (prepare.matmul.filters_stand != self._filters_stand)),
            ready.eq(
                order.room
                & ~loader.loading
                & ~(loader.full & self._streamer.streaming)
                & ~(self._streams & waits_for_stream)
            ),
            queue.take.eq(queue.valid & queue.waits_met & ready),
            loader.take.eq(queue.take & ~prepare.empty),
            order.take.eq(queue.take),
            order.empty.eq(prepare.empty),
            order.done.eq(self._accumulation.done),
            self.progress.start.eq(queue.take),
            self.progress.run.eq(queue.take),
            self.progress.retire.eq(order.retire),
        ]
        filters_stand, swaps = prepare.matmul.filters_stand, self._streamer.swaps
        with m.If(loader.take):
            m.d.sync += [
                self._filters_stand.eq(filters_stand),
                self._patch_held.eq(filters_stand),
                self._weights_held.eq(~filters_stand),
            ]
        with m.Elif(swaps):
            m.d.sync += [self._patch_held.eq(0), self._weights_held.eq(0)]
        # The next MATMUL is taken with the swap of the last one's last tile, or later.
        for name, held in (
            ("patch", self._patch_held),
            ("weights", self._weights_held),
            ("entry", self._patch_held | self._weights_held),
        ):
            with m.If(~held | swaps):
                m.d.sync += self._origin[name].eq(prepare.start[name])

    def _connect_walks(self, m: Module) -> None:
        """The walks' steps, by their roles, and origins."""
        load, stream = self._loader.step, self._streamer.step
        for walk, origin, loads, stands in (
            (self._patch_walk, self._origin.patch, ~self._loader.filters_stand, ~self._filters_stand),
            (self._weight_walk, self._origin.weights, self._loader.filters_stand, self._filters_stand),
        ):
            # The loader follows the head, which may want this buffer before the stream that uses it is over.
            loading = loads & (stands | ~self._streams)
            m.d.comb += [
                walk.step.eq(Mux(loading, load, stream)),
                walk.step.fire.eq(Mux(loading, load.fire, stream.fire & ~stands)),
                walk.one_slice.eq(self._prepare.matmul.slices == 1),
                walk.origin.eq(origin),
            ]
        # Of a list the head's first entries are read before the register has its begin.
        start, origin, list_ = self._prepare.start.weights, self._origin.weights, self._weight_walk.list
        m.d.comb += [
            list_.table.eq(Mux(self._weights_held, origin.table, start.table)),
            list_.begin.eq(Mux(self._weights_held, origin.begin, start.begin)),
        ]
        wiring.connect(m, self._weight_walk.filters, wiring.flipped(self.filters))

    def _connect_data(self, m: Module) -> None:
        """Buffers, turn, grid and accumulators."""
        arch, loader = self._arch, self._loader
        m.submodules.turn = turn = OperandTurn(arch)
        m.submodules.grid = grid = Grid(
            arch.rows,
            arch.columns,
            arch.load_vectors,
            packed_pairs(arch.rows, arch.columns, arch.array_multipliers),
        )
        accumulation, streamer = self._accumulation, self._streamer
        wiring.connect(m, accumulation.read, wiring.flipped(self.read))
        wiring.connect(m, accumulation.write, wiring.flipped(self.write))
        m.d.comb += [
            self.patch.addresses.eq(self._patch_walk.addresses),
            self.weights.addresses.eq(self._weight_walk.addresses),
            turn.patch_words.eq(self.patch.words),
            turn.weight_words.eq(self.weights.words),
            turn.patch_place.eq(self._patch_walk.place),
            turn.weight_place.eq(self._weight_walk.place),
            # Vectors loaded together begin at a multiple of load_vectors; single ones go to the lanes in turn.
            turn.lane.eq(loader.column),
            turn.filters_stand.eq(Mux(self._streams, self._filters_stand, loader.filters_stand)),
            grid.stream.eq(turn.stream),
            grid.bus.eq(turn.bus),
            accumulation.valid.eq(streamer.valid),
            accumulation.last.eq(streamer.last),
            accumulation.target.eq(streamer.target),
            accumulation.sums.eq(grid.sums),
        ]
        counts: Any = Mux(loader.step.fire, loader.step.count, 0)
        m.d.comb += [
            grid.swap.eq(delayed(m, streamer.swaps, OPERAND_READ, "swap")),
            grid.first.eq(delayed(m, loader.column, OPERAND_READ, "load_first")),
            grid.count.eq(delayed(m, counts, OPERAND_READ, "load_count")),
        ]
