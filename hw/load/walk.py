"""Where the next beat of the data side belongs: counters that are ahead of the data."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.encodings import INSTRUCTION_BEATS, PARAMETERS_PER_BEAT, TABLE_ENTRIES_PER_BEAT
from gatewright.contract.isa import Space
from gatewright.hw.load.prepare import GROUP_BITS, transfer_layout
from gatewright.hw.load.weights import GROUPS_PER_BEAT, WeightWalk, weight_place

_NEXT_STEP = {
    Space.SCRATCHPAD: BEAT_BYTES,
    Space.PARAMETERS: PARAMETERS_PER_BEAT,
    Space.TABLE: 1,
}
"""What ``place`` rises by from beat to beat."""

PART_BITS = ceil_log2(INSTRUCTION_BEATS)
"""Low bits of an instruction's ``place``: which of its beats."""


class BeatWalk(wiring.Component):
    """Counts beats through loads, rows, taps and the pieces of a tap.

    ``transfer`` and the outputs below it describe the beat that comes next; ``advance`` says that it has come.
    A load is taken from ``next`` in the cycle of the last beat of the one before, or while there is none.

    ``place``: scratchpad byte, parameter entry, row of a table, or an instruction's entry and part (low bits).
    ``left``: entries of a table or slices that are still wanted, or taps, with this beat's. ``groups``: groups of four
    vectors of the tap from this beat on. ``triple``: three times the region's groups.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        layout = transfer_layout(arch)
        super().__init__(
            {
                "next": In(layout),
                "next_valid": In(1),
                "next_taken": Out(1),
                "advance": In(1),
                "active": Out(1),
                "transfer": Out(layout),
                "last": Out(1),
                "place": Out(layout["address"].width + PART_BITS),
                "left": Out(layout["limit"].width),
                "groups": Out(GROUP_BITS),
                "triple": Out(GROUP_BITS + 2),
                "weight": Out(weight_place(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        transfer = self.transfer
        beats_left = Signal.like(transfer.beats_left, reset_less=True)
        rows_left = Signal.like(transfer.rows_left, reset_less=True)
        self._reduction, self._by_vector = Signal(), Signal()
        # Registers beside the counters: this beat ends its tap, its row; this row is the last.
        self._tap_ends = Signal(name="tap_ends", reset_less=True)
        self._row_ends, last_row = Signal(name="row_ends", reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            self._reduction.eq(transfer.space == Space.WEIGHTS_BY_REDUCTION),
            self._by_vector.eq(transfer.space == Space.WEIGHTS_BY_VECTOR),
            self.last.eq(self._row_ends & last_row),
            self.next_taken.eq(self.next_valid & (~self.active | (self.advance & self.last))),
        ]
        with m.If(self.advance):
            m.d.sync += [beats_left.eq(beats_left - 1), self._row_ends.eq(beats_left == 1)]
            with m.If(self._row_ends):
                m.d.sync += [
                    beats_left.eq(transfer.beats_left),
                    self._row_ends.eq(transfer.beats_left == 0),
                    rows_left.eq(rows_left - 1),
                    last_row.eq(rows_left == 1),
                ]
            with m.If(self.last):
                m.d.sync += self.active.eq(0)
            self._advance_place(m)
        with m.If(self.next_taken):
            m.d.sync += [
                self.active.eq(1),
                transfer.eq(self.next),
                beats_left.eq(self.next.beats_left),
                rows_left.eq(self.next.rows_left),
                self._row_ends.eq(self.next.beats_left == 0),
                last_row.eq(self.next.rows_left == 0),
                self.left.eq(self.next.limit),
                self.groups.eq(self.next.groups),
                self._tap_ends.eq(self.next.groups <= GROUPS_PER_BEAT),
                self.triple.eq(self.next.groups + (self.next.groups << 1)),
            ]
            self._begin_place(m)
        m.submodules.weights = weights = WeightWalk(self._arch)
        m.d.comb += [
            weights.begin.eq(self.next_taken),
            weights.next_address.eq(self.next.address),
            weights.next_reduction.eq(self.next.space == Space.WEIGHTS_BY_REDUCTION),
            weights.advance.eq(self.advance),
            weights.row_ends.eq(self._row_ends),
            weights.tap_ends.eq(self._tap_ends),
            weights.reduction.eq(self._reduction),
            weights.transfer.eq(transfer),
            weights.triple.eq(self.triple),
            self.weight.eq(weights.place),
        ]
        return m

    def _begin_place(self, m: Module) -> None:
        m.d.sync += self.place.eq(self.next.address)
        with m.Switch(self.next.space):
            with m.Case(Space.TABLE):
                m.d.sync += self.place.eq(0)
            with m.Case(Space.INSTRUCTIONS):
                m.d.sync += self.place.eq(self.next.address << PART_BITS)

    def _advance_place(self, m: Module) -> None:
        """The place, and what is left of the entries, slices or taps."""
        transfer = self.transfer
        step = Signal(range(BEAT_BYTES + 1))
        taken = Signal(range(TABLE_ENTRIES_PER_BEAT + 1))
        with m.Switch(transfer.space):
            for space, size in _NEXT_STEP.items():
                with m.Case(space):
                    m.d.comb += step.eq(size)
            with m.Case(Space.INSTRUCTIONS):
                last_part = self.place[:PART_BITS] == INSTRUCTION_BEATS - 1
                m.d.comb += step.eq(Mux(last_part, 1 + (1 << PART_BITS) - INSTRUCTION_BEATS, 1))
            with m.Default():
                m.d.comb += step.eq(0)
        with m.If(self._by_vector):
            m.d.comb += taken.eq(self._arch.slices_per_beat)
        with m.Elif(self._reduction):
            m.d.comb += taken.eq(self._tap_ends)
        with m.Else():
            m.d.comb += taken.eq(TABLE_ENTRIES_PER_BEAT)
        m.d.sync += [
            self.place.eq(self.place + step),
            self.left.eq(Mux(self.left > taken, self.left - taken, 0)),
            self.groups.eq(self.groups - GROUPS_PER_BEAT),
            self._tap_ends.eq(self.groups <= 2 * GROUPS_PER_BEAT),
        ]
        with m.If(self._tap_ends | self._row_ends):
            m.d.sync += [self.groups.eq(transfer.groups), self._tap_ends.eq(transfer.groups <= GROUPS_PER_BEAT)]
        with m.If(self._row_ends & (self._reduction | self._by_vector)):
            m.d.sync += self.left.eq(transfer.limit)
