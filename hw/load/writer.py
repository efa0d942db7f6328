"""The way of a beat into its memory: a register, the lanes' turn or skew, and the write."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.encodings import TABLE_ENTRIES_PER_BEAT
from gatewright.contract.isa import Space
from gatewright.hw.lib.delay import delayed
from gatewright.hw.load.lanes import WeightLanes
from gatewright.hw.load.prepare import transfer_layout
from gatewright.hw.load.walk import PART_BITS, BeatWalk
from gatewright.hw.signatures import (
    BEAT_BITS,
    TABLE_BITS,
    count_bits,
    instruction_write,
    parameter_write,
    scratchpad_write,
    table_write_row,
    weight_write,
)


class LoadWriter(wiring.Component):
    """Beats (``valid``, ``data``) into the memories, load by load as ``next`` brings them.

    ``last``: this beat is its load's last.

    A beat on the bus in cycle t is registered in t + 1, where the scratchpad is asked to write it, and written by the
    other memories in t + 2. ``start_table`` announces a load of a table. ``set_empty`` gives a table that is loaded
    without rows its count: in the cycle behind, or once the tables of the loads before it are complete.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "next": In(transfer_layout(arch)),
                "next_valid": In(1),
                "next_taken": Out(1),
                "valid": In(1),
                "data": In(BEAT_BITS),
                "last": Out(1),
                "start_table": In(1),
                "set_empty": In(1),
                "empty_table": In(TABLE_BITS),
                "empty_count": In(count_bits(arch)),
                "scratchpad": Out(scratchpad_write(BEAT_BYTES)),
                "weights": Out(weight_write(arch)),
                "parameters": Out(parameter_write(arch)),
                "table": Out(table_write_row(arch)),
                "instructions": Out(instruction_write(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = BeatWalk(self._arch)
        m.submodules.lanes = lanes = WeightLanes(self._arch)
        beat = Signal()
        transfer = walk.transfer
        m.d.comb += [
            walk.next.eq(self.next),
            walk.next_valid.eq(self.next_valid),
            self.next_taken.eq(walk.next_taken),
            beat.eq(self.valid & walk.active),
            walk.advance.eq(beat),
            self.last.eq(beat & walk.last),
        ]
        word = delayed(m, self.data, 1, "word")
        by_reduction = transfer.space == Space.WEIGHTS_BY_REDUCTION
        m.d.comb += [
            lanes.valid.eq(beat & (by_reduction | (transfer.space == Space.WEIGHTS_BY_VECTOR))),
            lanes.reduction.eq(by_reduction),
            lanes.place.eq(walk.weight),
            lanes.left.eq(walk.left),
            lanes.groups.eq(walk.groups),
            lanes.stride.eq(transfer.groups),
            lanes.triple.eq(walk.triple),
            lanes.data.eq(word),
        ]
        wiring.connect(m, lanes.weights, wiring.flipped(self.weights))
        self._linear(m, walk, beat, word)
        return m

    def _linear(self, m: Module, walk: BeatWalk, beat: Signal, word: Signal) -> None:
        """The spaces to which beats go as they are."""
        transfer = walk.transfer
        # Which memory, one bit each, so that nothing is decoded behind the registers.
        chosen = {}
        for space in (Space.SCRATCHPAD, Space.PARAMETERS, Space.TABLE, Space.INSTRUCTIONS):
            chosen[space] = Signal(name=f"to_{space.name.lower()}")
            m.d.sync += chosen[space].eq(beat & (transfer.space == space))
        place = delayed(m, walk.place, 1, "place")
        m.d.comb += [
            self.scratchpad.valid.eq(chosen[Space.SCRATCHPAD]),
            self.scratchpad.address.eq(place),
            self.scratchpad.count.eq(BEAT_BYTES),
        ]
        m.d.comb += [lane.eq(word.word_select(number, 8)) for number, lane in enumerate(self.scratchpad.data)]
        written = delayed(m, word, 1, "written")
        last_place = delayed(m, place, 1, "last_place")
        m.d.sync += [
            self.parameters.valid.eq(chosen[Space.PARAMETERS]),
            self.instructions.valid.eq(chosen[Space.INSTRUCTIONS]),
        ]
        m.d.comb += [
            self.parameters.entry.eq(last_place),
            self.parameters.data.eq(written),
            self.instructions.part.eq(last_place[:PART_BITS]),
            self.instructions.entry.eq(last_place[PART_BITS:]),
            self.instructions.data.eq(written),
            self.table.row.eq(last_place),
            self.table.entries.eq(written),
        ]
        self._table(m, walk, beat, chosen[Space.TABLE])

    def _table(self, m: Module, walk: BeatWalk, beat: Signal, chosen: Signal) -> None:
        """Entries up to the count, and the count with the last beat; the count alone of an empty load."""
        control = data.StructLayout(
            {"enable": TABLE_ENTRIES_PER_BEAT, "last": 1, "table": TABLE_BITS, "count": count_bits(self._arch)}
        )
        now, then = Signal(control, reset_less=True), Signal(control, reset_less=True)
        write = Signal()
        # An empty load's, kept until the loads before it have no table to write. Those are: the one that is issued,
        # as many as bursts can be in flight, and two on the way.
        coming = Signal(range(self._arch.dram.outstanding + 4))
        pending, set_now = Signal(), Signal()
        table, count = Signal(TABLE_BITS, reset_less=True), Signal(count_bits(self._arch), reset_less=True)
        m.d.sync += [
            now.enable.eq((1 << Mux(walk.left < TABLE_ENTRIES_PER_BEAT, walk.left[:4], TABLE_ENTRIES_PER_BEAT)) - 1),
            now.last.eq(walk.last),
            now.table.eq(walk.transfer.address),
            now.count.eq(walk.transfer.limit),
            then.eq(now),
            write.eq(chosen),
            coming.eq(coming + self.start_table - (write & then.last)),
        ]
        with m.If(self.set_empty):
            m.d.sync += [pending.eq(1), table.eq(self.empty_table), count.eq(self.empty_count)]
        with m.Elif(set_now):
            m.d.sync += pending.eq(0)
        m.d.comb += [
            set_now.eq(pending & (coming == 0)),
            self.table.valid.eq(write | set_now),
            self.table.enable.eq(Mux(write, then.enable, 0)),
            self.table.table.eq(Mux(write, then.table, table)),
            self.table.count.eq(Mux(write, then.count, count)),
            self.table.set_count.eq(Mux(write, then.last, set_now)),
        ]
