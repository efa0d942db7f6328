"""Addresses into an operand buffer: where ARRAY's next vectors lie, tile by tile, without a multiplication."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import OPERAND_BANKS
from gatewright.contract.isa import Opcode
from gatewright.hw.layouts import operand_layout
from gatewright.hw.lib.filter_list import NEXT, FilterList
from gatewright.hw.signatures import POSITION_BITS, TABLE_BITS, table_read

BANK_BITS = 2
assert OPERAND_BANKS == 1 << BANK_BITS
VECTOR_BITS = operand_layout(Opcode.MATMUL)["weight_vectors"].width
"""A number of vectors; a region has less than 2**VECTOR_BITS."""
QUAD_BITS = VECTOR_BITS - BANK_BITS
"""A vector's number div 4."""

PLACE = data.StructLayout({"low": BANK_BITS, "turn": BANK_BITS, "quad": QUAD_BITS})
"""Where a vector lies: ``low`` = vector mod 4, ``quad`` = vector div 4, ``turn`` = slice mod 4.

Its bank is (low + turn) mod 4.
"""

STEP = data.StructLayout(
    {"fire": 1, "count": 3, "wide": 1, "last": 1, "more": 1, "blocks": 1, "last_slice": 1, "final": 1}
)
"""What happens to a tile's addresses in a cycle.

``fire``: ``count`` vectors are read; ``last``: they are the last of their tile; ``more``: with them, AHEAD or
more of it are left. ``wide``: ``count`` of all but a tile's last is ``load_vectors``, not 1. With the first of a tile:
``last_slice``: the next tile is of the next block, or instruction; ``final``: it is of the next instruction. ``blocks``
stands still: blocks follow each other in the vectors (this operand is loaded), or every block begins with the same
vector (it is streamed).
"""


def origin_layout(address_bits: int) -> data.StructLayout:
    """Where an instruction's vectors begin.

    ``address``, ``place``: those of the first vector of the first slice, or of vector 0 if the vectors are ``listed``
    in ``table`` from position ``begin`` on; ``step``: addresses from a slice to the next.
    """
    return data.StructLayout(
        {
            "address": address_bits,
            "place": PLACE,
            "step": QUAD_BITS,
            "listed": 1,
            "table": TABLE_BITS,
            "begin": POSITION_BITS,
        }
    )


LIST = data.StructLayout({"table": TABLE_BITS, "begin": POSITION_BITS})
"""The list of an instruction's vectors: ``table`` from position ``begin`` on."""


class OperandWalk(wiring.Component):
    """The address registers of one operand buffer; the words at ``addresses`` are those of up to four vectors.

    Vector v of slice s lies in bank (v + s) mod 4 at address base + s * step + v div 4. In a cycle, four vectors from v
    on are read, one from each bank: those behind a multiple of 4 one address higher. ``place`` is the first one's.

    A tile's first address stands ready before it is used; from then on the registers move with each ``fire``. Meanwhile
    the start of the tile behind it is worked out: the next slice, the first slice of the next block, or ``origin`` of
    another instruction; while nothing fires the registers follow it. That takes three cycles, and two tiles' firsts are
    ACCUMULATOR_LATENCY cycles apart. Only a MATMUL's second tile may be loaded right behind the first, so its start
    is worked out with the first one's (``one_slice``: it is of the next block). ``list``: that of ``origin``, a cycle
    earlier.
    """

    def __init__(self, address_bits: int, columns: int, load_vectors: int, *, lists: bool) -> None:
        self._columns, self._load_vectors, self._lists = columns, load_vectors, lists
        self._origin = origin_layout(address_bits)
        self._address_bits = address_bits
        members: dict[str, Any] = {
            "origin": In(self._origin),
            "one_slice": In(1),
            "step": In(STEP),
            "addresses": Out(data.ArrayLayout(address_bits, OPERAND_BANKS)),
            "place": Out(PLACE),
        }
        if lists:
            members |= {"list": In(LIST), "filters": Out(table_read())}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step = self.step
        # ``following``: the start of the tile behind the one that fired last, if ``fresh`` an instruction's first.
        first, fresh = Signal(init=1), Signal(init=1)
        following, tile = Signal(self._origin, reset_less=True), Signal(self._origin, reset_less=True)
        begins = Signal()
        m.d.comb += begins.eq(step.fire & first)
        second, next_list = self._follow(m, begins, fresh, following, tile)
        with m.If(step.fire):
            m.d.sync += first.eq(step.last)
        with m.If(begins):
            m.d.sync += [tile.eq(following), fresh.eq(step.final)]

        # At rest, and with the last of a tile, the registers take the next tile's start.
        starts, start = Signal(), Signal(self._origin)
        m.d.comb += [
            starts.eq(Mux(step.fire, step.last, first)),
            start.eq(Mux(begins & fresh, second, following)),
        ]
        address = Signal(self._address_bits, reset_less=True)
        behind = Signal(self._address_bits, reset_less=True)
        place = Signal(PLACE, reset_less=True)
        # Where the vectors behind this cycle's lie: a table of a few bits instead of a carry.
        after = Array(
            Array(Const(low + count, BANK_BITS + 1) for low in range(OPERAND_BANKS))
            for count in (1, self._load_vectors)
        )
        moved, crosses = Signal(BANK_BITS), Signal()
        m.d.comb += Cat(moved, crosses).eq(after[step.wide][place.low])
        # Whether the next tile starts is known late: all that it may choose among is worked out before.
        next_start, second_start = (Signal(self._address_bits, name=name) for name in ("next_start", "second_start"))
        goes_on, of_list, listed = Signal(self._address_bits), Signal(self._address_bits), Signal()
        # Kept, so that one level of tables is behind the sums.
        which = Signal(2, attrs={"keep": 1})
        m.d.comb += [
            next_start.eq(following.address),
            second_start.eq(second.address),
            goes_on.eq(Mux(crosses, behind, address)),
            which.eq(Cat(Mux(starts, begins & fresh, listed), ~starts)),
        ]
        with m.If(starts | step.fire):
            m.d.sync += address.eq(Array([next_start, second_start, goes_on, of_list])[which])
        with m.If(starts):
            m.d.sync += [
                place.eq(start.place),
                behind.eq(Mux(begins & fresh, second.address + 1, following.address + 1)),
            ]
        with m.Elif(step.fire):
            m.d.sync += [
                place.low.eq(moved),
                place.quad.eq(Mux(crosses, place.quad + 1, place.quad)),
                behind.eq(Mux(crosses, behind + 1, behind)),
            ]
        if self._lists:
            filters = self._list(m, first, tile, following, next_list)
            quad = filters.start[BANK_BITS:] & following.listed.replicate(POSITION_BITS - BANK_BITS)
            m.d.comb += [
                listed.eq(Mux(first, following.listed, tile.listed)),
                next_start.eq(following.address + quad),
                second_start.eq(second.address + quad),
                of_list.eq(Mux(first, following.address, tile.address) + filters.entry[BANK_BITS:]),
            ]
            with m.If(starts & following.listed):
                m.d.sync += [place.low.eq(filters.start[:BANK_BITS]), place.quad.eq(filters.start[BANK_BITS:])]
            with m.Elif(~starts & step.fire & listed):
                m.d.sync += [place.low.eq(filters.entry[:BANK_BITS]), place.quad.eq(filters.entry[BANK_BITS:])]
        m.d.comb += self.place.eq(place)
        for bank in range(OPERAND_BANKS):
            # A function of two bits of address and four of place: one level of LUTs behind the registers.
            distance = (bank - place.low - place.turn)[:BANK_BITS]
            beyond = (place.low + distance)[BANK_BITS]
            m.d.comb += self.addresses[bank].eq(Mux(beyond, behind, address))
        return m

    def _follow(self, m: Module, begins: Signal, fresh: Signal, following: Any, tile: Any) -> tuple[Any, Any]:
        """Work out ``following``, right from the second cycle behind a tile's first; returns a MATMUL's second tile.

        Both are the start behind a tile's: while ``fresh``, behind ``following`` itself. And returns the list of what
        will be in ``following``: it is read from the cycle behind a tile's first on.
        """
        block, wraps = Signal(self._origin, reset_less=True), Signal()
        second = Signal(self._origin, reset_less=True)
        from_tile, from_block, next_block = Signal(self._origin), Signal(self._origin), Signal()
        with m.If(begins):
            m.d.sync += wraps.eq(self.step.last_slice)
            with m.If(fresh | wraps):
                m.d.sync += block.eq(following)
        m.d.comb += [
            from_tile.eq(Mux(fresh, following, tile)),
            from_block.eq(Mux(fresh, following, block)),
            next_block.eq(Mux(fresh, self.one_slice, wraps)),
        ]
        quads, rest = divmod(self._columns, OPERAND_BANKS)
        low, behind = Signal(BANK_BITS + 1), Signal(self._origin)
        m.d.comb += [low.eq(from_block.place.low + rest), behind.eq(from_block)]
        with m.If(~next_block):
            m.d.comb += [
                behind.address.eq(from_tile.address + from_tile.step),
                behind.place.turn.eq(from_tile.place.turn + 1),
            ]
        # The second tile matters to a load only, and is worked out before the buffer has changed its role.
        with m.Elif(self.step.blocks | fresh):
            m.d.comb += behind.begin.eq(from_block.begin + self._columns)
            with m.If(~from_block.listed):
                m.d.comb += [
                    behind.address.eq(from_block.address + quads + low[BANK_BITS]),
                    behind.place.low.eq(low),
                    behind.place.quad.eq(from_block.place.quad + quads + low[BANK_BITS]),
                ]
        m.d.sync += [second.eq(behind), following.eq(Mux(fresh, Mux(begins, second, self.origin), behind))]
        next_list = Signal(NEXT)
        if self._lists:
            m.d.comb += [
                next_list.table.eq(Mux(fresh, self.list.table, tile.table)),
                next_list.begin.eq(Mux(fresh, self.list.begin, block.begin)),
                next_list.block.eq(block.begin),
                next_list.moves.eq(~fresh & wraps & self.step.blocks),
            ]
        return second, next_list

    def _list(self, m: Module, first: Signal, tile: Any, following: Any, next_list: Any) -> FilterList:
        """The list of filters, read ahead."""
        m.submodules.list = filters = FilterList(self._columns)
        wiring.connect(m, filters.read, wiring.flipped(self.filters))
        m.d.comb += [
            filters.fire.eq(self.step.fire),
            filters.first.eq(first),
            filters.own.eq(~first & self.step.more & tile.listed),
            filters.table.eq(tile.table),
            filters.begin.eq(following.begin),
            filters.next.eq(next_list),
        ]
        return filters
