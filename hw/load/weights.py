"""Where the next beat of weights lies in the weight buffer: bank, address and lane, by additions only."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import BEAT_BYTES, OPERAND_BANKS, ArchConfig
from gatewright.hw.load.prepare import FIELDS, GROUP_BITS, transfer_layout
from gatewright.hw.signatures import weight_address_bits

GROUPS_PER_BEAT = BEAT_BYTES // OPERAND_BANKS
"""Weights by reduction: groups of four vectors in a beat."""


def weight_place(arch: ArchConfig) -> data.StructLayout:
    """The place of a beat's first byte.

    By vector, a beat begins with slice s of vector v: ``bank`` (v + s) mod 4, ``lane`` (v div 4) mod rows, by which the
    word is turned. By reduction it begins with element k, lane l of slice s, of vector v, a multiple of 16: ``bank``
    s mod 4, ``lane`` (l + v div 4) mod rows, the physical lane. ``address``: in its lane.
    """
    return data.StructLayout(
        {"lane": ceil_log2(arch.rows), "bank": ceil_log2(OPERAND_BANKS), "address": weight_address_bits(arch)}
    )


def wrapped(value: Any, limit: int) -> Any:
    """``value`` mod ``limit``, of a value below twice the limit."""
    return Mux(value >= limit, value - limit, value)


class WeightWalk(wiring.Component):
    """Three places: of the next row's begin, of this tap's begin, and ``place``, of the beat that comes next.

    ``begin`` sets them for a new load, ``advance`` moves them on behind a beat that may end its tap or its row.
    ``triple``: three times the region's groups.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "begin": In(1),
                "next_address": In(FIELDS["address"].width),
                "next_reduction": In(1),
                "advance": In(1),
                "row_ends": In(1),
                "tap_ends": In(1),
                "reduction": In(1),
                "transfer": In(transfer_layout(arch)),
                "triple": In(GROUP_BITS + 2),
                "place": Out(weight_place(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = weight_place(self._arch)
        place, tap = self.place, Signal(layout, reset_less=True)
        row = Signal(layout, reset_less=True)
        with m.If(self.advance):
            with m.If(self.row_ends):
                m.d.sync += [place.eq(row), tap.eq(row)]
                self._next_row(m, row)
            with m.Elif(~self.reduction):
                m.d.sync += self._next_slices(place)
            with m.Elif(self.tap_ends):
                self._next_tap(m, place, tap)
            with m.Else():
                m.d.sync += [
                    place.lane.eq(wrapped(place.lane + GROUPS_PER_BEAT % self._arch.rows, self._arch.rows)),
                    place.address.eq(place.address + GROUPS_PER_BEAT),
                ]
        with m.If(self.begin):
            for start in (place, tap, row):
                m.d.sync += [start.lane.eq(0), start.bank.eq(0), start.address.eq(self.next_address)]
            # The second row: the next element, or the next vector.
            m.d.sync += [row.lane.eq(self.next_reduction), row.bank.eq(~self.next_reduction)]
        return m

    def _next_row(self, m: Module, row: data.View) -> None:
        """The next element of the reduction, or the next vector."""
        with m.If(self.reduction):
            m.d.sync += row.lane.eq(row.lane + 1)
            with m.If(row.lane == self._arch.rows - 1):
                m.d.sync += [
                    row.lane.eq(0),
                    row.bank.eq(row.bank + 1),
                    row.address.eq(row.address + self.transfer.groups),
                ]
        with m.Else():
            m.d.sync += row.bank.eq(row.bank + 1)
            with m.If(row.bank == OPERAND_BANKS - 1):
                m.d.sync += [
                    row.lane.eq(wrapped(row.lane + 1, self._arch.rows)),
                    row.address.eq(row.address + 1),
                ]

    def _next_slices(self, place: data.View) -> list[Any]:
        """By vector: the slices of the next beat."""
        groups = self.transfer.groups
        distance = {1: groups, 2: groups << 1, 3: self.triple, 4: groups << 2}[self._arch.slices_per_beat]
        return [
            place.bank.eq(place.bank + self._arch.slices_per_beat),
            place.address.eq(place.address + distance),
        ]

    def _next_tap(self, m: Module, place: data.View, tap: data.View) -> None:
        """The same row of the next tap: the rows read further along the reduction."""
        transfer = self.transfer
        lane = Signal(range(2 * self._arch.rows))
        carry = Signal()
        m.d.comb += [lane.eq(tap.lane + transfer.lane_step), carry.eq(lane >= self._arch.rows)]
        for moved in (place, tap):
            m.d.sync += [
                moved.lane.eq(Mux(carry, lane - self._arch.rows, lane)),
                moved.bank.eq(tap.bank + transfer.slice_step + carry),
                # The carry is known late.
                moved.address.eq(Mux(carry, tap.address + transfer.carry_step, tap.address + transfer.tap_step)),
            ]
