"""LOAD's address side: rows in order, each cut into bursts, one burst a cycle."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.axi import ADDRESS_BITS, BURST_BEATS
from gatewright.contract.encodings import TABLE_ENTRY_BITS
from gatewright.hw.control.queue import HeadQueue
from gatewright.hw.load.prepare import POSITION_BITS, ROW_BITS, order_layout, row_beats_bits
from gatewright.hw.signatures import table_read

OFFSET_BITS = ceil_log2(BURST_BEATS)
WORD_ADDRESS = ADDRESS_BITS - ceil_log2(BEAT_BYTES)
"""Width of an address in beats."""

ROWS_AHEAD = 8
"""Rows on their way to the row queue and in it: enough for one row a cycle through the six cycles of a place in it."""


class BurstIssue(wiring.Component):
    """Addresses of the bursts of one load at a time.

    ``start`` (in cycle s, while not ``busy``) brings an ``order`` with rows; its first burst is ``valid`` in cycle
    s + LOAD_ISSUE, and one in each cycle after as long as ``take`` is 1. ``address`` is in beats, ``length`` one less
    than its beats; ``first`` and ``last`` mark the ends of the load. ``busy`` is 1 from s + 1 until ``last`` was taken.

    The row's number goes through the table, the multiplier and the sum without ever stopping; ROWS_AHEAD bounds what
    is under way, and a queue holds what a stalled bus does not take. While nothing is loaded, the position follows the
    order, whose first row is asked for at s. With ``boot`` the row is number 0, whatever was followed before.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "start": In(1),
                "boot": In(1),
                "order": In(order_layout(arch)),
                "busy": Out(1),
                "rows": Out(table_read()),
                "valid": Out(1),
                "first": Out(1),
                "last": Out(1),
                "address": Out(WORD_ADDRESS),
                "length": Out(OFFSET_BITS),
                "take": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(order_layout(self._arch), reset_less=True)
        queue = HeadQueue(data.StructLayout({"address": WORD_ADDRESS}), ROWS_AHEAD)
        m.submodules.queue = queue
        with m.If(self.start):
            m.d.sync += [held.eq(self.order), self.busy.eq(1), self.first.eq(1)]
        requested = self._request_rows(m, held, queue.take)
        self._row_addresses(m, held, requested, queue)
        self._split_rows(m, held, queue)
        return m

    def _request_rows(self, m: Module, held: data.View, freed: Signal) -> Signal:
        """Ask the table for one row after another; returns whether one is asked for in this cycle."""
        position = Signal(POSITION_BITS, reset_less=True)
        more = Signal()
        rows_left = Signal(ROW_BITS, reset_less=True)
        under_way = Signal(range(ROWS_AHEAD + 1))
        request = Signal()
        m.d.comb += [
            request.eq(self.start | (more & (under_way != ROWS_AHEAD))),
            self.rows.table.eq(Mux(self.busy, held.table, self.order.table)),
            self.rows.position.eq(position),
        ]
        with m.If(request & ~freed):
            m.d.sync += under_way.eq(under_way + 1)
        with m.Elif(freed & ~request):
            m.d.sync += under_way.eq(under_way - 1)
        with m.If(request):
            m.d.sync += position.eq(position + 1)
        with m.Elif(~self.busy | (self.take & self.last)):
            m.d.sync += position.eq(self.order.first_row)
        with m.If(self.start):
            m.d.sync += [rows_left.eq(self.order.transfer.rows_left), more.eq(self.order.transfer.rows_left != 0)]
        with m.Elif(request):
            m.d.sync += [rows_left.eq(rows_left - 1), more.eq(rows_left != 1)]
        self._position = position
        return request

    def _row_addresses(self, m: Module, held: data.View, requested: Signal, queue: HeadQueue) -> None:
        """A row's address, in the queue's head at the earliest five cycles after the request."""
        moving = Signal(4)
        number = Signal(POSITION_BITS, reset_less=True)
        factor = Signal(TABLE_ENTRY_BITS, reset_less=True)
        product = Signal(ADDRESS_BITS, reset_less=True)
        address = Signal(ADDRESS_BITS, reset_less=True)
        m.d.sync += [
            moving.eq(Cat(requested, moving)),
            number.eq(Mux(self.boot, 0, self._position)),
            factor.eq(Mux(held.listed, self.rows.entry, number)),
            product.eq(factor * held.stride),
            address.eq(product + held.origin),
        ]
        m.d.comb += [queue.push.eq(moving[-1]), queue.entry.address.eq(address[-WORD_ADDRESS:])]

    def _split_rows(self, m: Module, held: data.View, queue: HeadQueue) -> None:
        """Cut the row at the queue's head at multiples of BURST_BOUNDARY."""
        inside = Signal()
        page = Signal(WORD_ADDRESS - OFFSET_BITS, reset_less=True)
        rest = Signal(row_beats_bits(self._arch), reset_less=True)
        rows_left = Signal(ROW_BITS, reset_less=True)
        beats_left = Signal.like(rest)
        room = Signal(OFFSET_BITS)
        row_ends = Signal()
        m.d.comb += [
            self.address.eq(Mux(inside, Cat(Const(0, OFFSET_BITS), page), queue.head.address)),
            beats_left.eq(Mux(inside, rest, held.transfer.beats_left)),
            # Both are one less than a number of beats. Behind a boundary the room is all of it.
            room.eq(~self.address[:OFFSET_BITS]),
            row_ends.eq(
                Mux(
                    inside,
                    ~rest[OFFSET_BITS:].any(),
                    held.transfer.beats_left <= ~queue.head.address[:OFFSET_BITS],
                )
            ),
            self.length.eq(Mux(row_ends, beats_left, room)),
            self.valid.eq(queue.present),
            self.last.eq(row_ends & (rows_left == 0)),
            queue.take.eq(self.take & row_ends),
        ]
        with m.If(self.start):
            m.d.sync += rows_left.eq(self.order.transfer.rows_left)
        with m.If(self.take):
            m.d.sync += [
                self.first.eq(0),
                inside.eq(~row_ends),
                page.eq(self.address[OFFSET_BITS:] + 1),
                rest.eq(beats_left - room - 1),
            ]
            with m.If(row_ends):
                m.d.sync += rows_left.eq(rows_left - 1)
            with m.If(self.last):
                m.d.sync += self.busy.eq(0)
