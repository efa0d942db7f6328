"""INDEX: a mask becomes a table, word by word, the entries of a group of bits a cycle."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

from amaranth import Array, C, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import MASK_BITS, ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS, MASK_GROUP_BITS, MASK_WORD_BITS, TABLE_ENTRY_BITS
from gatewright.contract.isa import Opcode, Unit
from gatewright.contract.timing import DECODE_LATENCY, INDEX_LATENCY
from gatewright.hw.control.signatures import head_signature, progress_signature
from gatewright.hw.layouts import operand_layout
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import count_bits, mask_read_word, table_write_group

WRITE_STAGE = INDEX_LATENCY - 1 - DECODE_LATENCY
"""Pipeline stage of the table's write: the table stands still for DECODE_LATENCY cycles before the completion."""


_OFFSET = ceil_log2(MASK_WORD_BITS)
_FIELDS = operand_layout(Opcode.INDEX)
_WIDTH, _PLACE = _FIELDS["grid_width"].width, _FIELDS["bits"].width
_STEPS = MASK_WORD_BITS.bit_length()

_GROUPS = MASK_WORD_BITS // MASK_GROUP_BITS
_GROUP, _LANE = ceil_log2(_GROUPS), ceil_log2(MASK_GROUP_BITS)

_FIND = data.StructLayout(
    {"entries": MASK_GROUP_BITS, "last": 1, "group": _GROUP, "y": _PLACE, "x": _WIDTH, "first": _PLACE}
)
"""What a cycle of the scan finds: entries at those bits of a word's ``group``, or nothing; ``last`` ends the table. The
word begins at position ``first``, and that is (``y``, ``x``)."""

_STAGES = 5
"""Registers from the scan to the entries: the find, its offsets as rows and columns, sums, (y, x), the entries."""
assert WRITE_STAGE == _STAGES


def _ones(bits: Value) -> Value:
    """How many they are, of a group: a table of its bits."""
    count = Array(Const(number.bit_count(), MASK_GROUP_BITS.bit_length()) for number in range(1 << len(bits)))
    return count[bits]


def _at_most_one(groups: Value) -> Value:
    """Whether at most one of them is 1."""
    return ~Cat(groups[number] & groups[:number].any() for number in range(1, len(groups))).any()


class IndexUnit(wiring.Component):
    """A scanner of 16-bit words and a pipeline to the table's write.

    From s + 1 on each cycle finds the lowest group left in the word; an empty word takes a cycle too. The mask is read
    a word ahead, so that what is looked at is a register; the first word is read from the end of the scan before on,
    in s - 1 at last, and a mask stands still for longer before who writes it is complete. While the unit is idle its
    registers follow the queue's head, so they need no load.
    """

    MEMORY_PORTS: ClassVar = {
        "table": "tables.index",
        "mask": "masks.index",
    }

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "queue": Out(head_signature(Unit.INDEX)),
                "progress": Out(progress_signature()),
                "mask": Out(mask_read_word()),
                "table": Out(table_write_group(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        active, scanning = Signal(), Signal()
        fields = Signal(_FIELDS, reset_less=True)
        head, progress = self.queue.head.operands, self.progress
        m.d.comb += [
            self.queue.take.eq(self.queue.valid & self.queue.waits_met & ~active),
            progress.start.eq(self.queue.take),
            progress.run.eq(self.queue.take),
        ]
        with m.If(~active):
            m.d.sync += [fields.eq(head), active.eq(self.queue.take), scanning.eq(self.queue.take & (head.bits != 0))]
        with m.If(progress.retire):
            m.d.sync += active.eq(0)

        find = Signal(_FIND)
        ends = self._scan(m, scanning, fields, find)
        self._follow(m, active, ends, find)
        # Without a word to look at, the end of the table enters the pipeline at once.
        with m.If(self.queue.take):
            m.d.comb += find.last.eq(head.bits == 0)
        lasts = Signal(INDEX_LATENCY - 1)
        m.d.sync += lasts.eq(Cat(find.last, lasts[:-1]))
        m.d.comb += progress.retire.eq(lasts[-1])
        self._write(m, active, fields, find, lasts[WRITE_STAGE - 1])
        return m

    def _scan(self, m: Module, scanning: Signal, fields: data.View, find: data.View) -> Signal:
        """Drives the mask's address and what is found; returns the line that is 1 as a word ends."""
        take = self.queue.take
        # The word that is looked at; its groups that are left; at most one is, so that it ends; whether it is the last.
        word, left, ends_now = Signal(MASK_WORD_BITS), Signal(_GROUPS), Signal()
        final = Signal(reset_less=True)
        # Of the word behind it, which the mask gives: words from it on, whether it is the last, its bits that count.
        words, coming_final = Signal(_PLACE + 1 - _OFFSET, reset_less=True), Signal(reset_less=True)
        tail, counts = Signal(MASK_WORD_BITS, reset_less=True), Signal(MASK_WORD_BITS)
        # Words before that of the first bit that is listed, from the coming one on; the bits of that word that are.
        before, within = Signal(_PLACE + 1 - _OFFSET, reset_less=True), Signal(reset_less=True)
        lead, listed = Signal(MASK_WORD_BITS, reset_less=True), Signal(MASK_WORD_BITS)
        coming, remaining, some = Signal(MASK_WORD_BITS), Signal(_GROUPS), Signal(_GROUPS)
        complement = Signal(reset_less=True)
        following, after, beyond = (Signal.like(self.mask.word, name=n) for n in ("following", "after", "beyond"))
        ends = Signal()
        # A mask begins with a word of a number that ends in zeros; the words of the masks behind it follow.
        mask = self.queue.head.operands.mask
        zeros = Const(0, ceil_log2(MASK_BITS) - _OFFSET - 2)
        begin, second, third = (
            Cat(take, C(0, 1), zeros, mask),
            Cat(~take, take, zeros, mask),
            Cat(take, C(1, 1), zeros, mask),
        )
        m.d.comb += [
            ends.eq(scanning & ends_now),
            counts.eq(tail | (~coming_final).replicate(MASK_WORD_BITS)),
            listed.eq((lead | (~within).replicate(MASK_WORD_BITS)) & (~before.any()).replicate(MASK_WORD_BITS)),
            coming.eq((self.mask.bits ^ complement.replicate(MASK_WORD_BITS)) & counts & listed),
            some.eq(Cat(coming.word_select(number, MASK_GROUP_BITS).any() for number in range(_GROUPS))),
            remaining.eq(Cat(left[number] & left[:number].any() for number in range(_GROUPS))),
            # The mask's next bits are those behind the word that is looked at from the next cycle on.
            self.mask.word.eq(Mux(scanning, Mux(ends, after, following), begin)),
            self.mask.next_word.eq(Mux(scanning, Mux(ends, beyond, after), second)),
            find.last.eq(ends & final),
        ]
        # Numbers one and two further on are registers too: a sum in front of a memory's address is long.
        m.d.sync += [
            following.eq(self.mask.word),
            after.eq(self.mask.next_word),
            beyond.eq(Mux(scanning, Mux(ends, beyond + 1, beyond), third)),
        ]
        for number in range(_GROUPS):
            with m.If(scanning & left[number] & ~remaining[number]):
                m.d.comb += [find.group.eq(number), find.entries.eq(word.word_select(number, MASK_GROUP_BITS))]
        groups = Mux(ends | ~scanning, some, remaining)
        m.d.sync += [left.eq(groups), ends_now.eq(_at_most_one(groups))]
        with m.If(ends | ~scanning):
            m.d.sync += word.eq(coming)
        with m.If(ends | take):
            m.d.sync += [words.eq(words - 1), final.eq(coming_final), coming_final.eq(words == 2)]
            m.d.sync += [within.eq(before.any()), before.eq(before - before.any())]
        with m.Elif(~scanning):
            # The next instruction may be taken in the cycle in which this one is complete.
            bits, first_bit = self.queue.head.operands.bits, self.queue.head.operands.first_bit
            of_last = bits[:_OFFSET]
            m.d.sync += [
                complement.eq(self.queue.head.operands.complement),
                words.eq((bits + (MASK_WORD_BITS - 1)) >> _OFFSET),
                coming_final.eq(bits <= MASK_WORD_BITS),
                tail.eq(Cat((bit < of_last) | (of_last == 0) for bit in range(MASK_WORD_BITS))),
                before.eq(first_bit[_OFFSET:]),
                within.eq(1),
                lead.eq(Cat(bit >= first_bit[:_OFFSET] for bit in range(MASK_WORD_BITS))),
            ]
        with m.If(ends & final):
            m.d.sync += scanning.eq(0)
        return ends

    def _follow(self, m: Module, active: Signal, ends: Signal, find: data.View) -> None:
        """Counters of the word's first position, and of its place in rows of ``grid_width``."""
        head_width = self.queue.head.operands.grid_width
        step_y, step_x = Signal(_STEPS, reset_less=True), Signal(_STEPS, reset_less=True)
        less = Signal(signed(_WIDTH + 2), reset_less=True)
        y, x = Signal(_PLACE, reset_less=True), Signal(_WIDTH, reset_less=True)
        first = Signal(_PLACE, reset_less=True)
        stepped = Signal(signed(_WIDTH + 2))
        rows, columns = Signal(_STEPS), Signal(_STEPS)
        m.d.comb += columns.eq(MASK_WORD_BITS)
        with m.Switch(head_width):
            for width in range(1, MASK_WORD_BITS + 1):
                with m.Case(width):
                    m.d.comb += [rows.eq(MASK_WORD_BITS // width), columns.eq(MASK_WORD_BITS % width)]
        with m.If(~active):
            m.d.sync += [
                step_y.eq(rows),
                step_x.eq(columns),
                less.eq(columns - head_width),
                y.eq(0),
                x.eq(0),
                first.eq(0),
            ]
        m.d.comb += stepped.eq(x + less)
        with m.If(ends):
            m.d.sync += [
                y.eq(y + step_y + ~stepped[-1]),
                x.eq(Mux(stepped[-1], x + step_x, stepped)),
                first.eq(first + MASK_WORD_BITS),
            ]
        m.d.comb += [find.y.eq(y), find.x.eq(x), find.first.eq(first)]

    def _write(self, m: Module, active: Signal, fields: data.View, find: data.View, last: Signal) -> None:
        """From the find to the table: each bit of the group as if it were an entry, then the entries to their lanes."""
        width = fields.grid_width
        # Rows narrower than a word may end more than once in it: the bits' quotients come from tables.
        narrow = Signal(_OFFSET, reset_less=True)
        m.d.sync += narrow.eq(Mux(width < MASK_WORD_BITS, width[:_OFFSET], 0))
        found = delayed(m, find, 1, "find")
        second = delayed(m, found, 1, "find_second")
        before = Signal(signed(_WIDTH + 2), reset_less=True)
        m.d.sync += before.eq(found.x - width)
        word = delayed(m, second.first[_OFFSET:], 2, "word")
        group = delayed(m, second.group, 2, "group")
        entries = [
            Mux(width == 0, Cat(C(bit, _LANE), group, word), self._coordinates(m, bit, narrow, found, second, before))
            for bit in range(MASK_GROUP_BITS)
        ]

        # Positions mod the lanes say which bit goes to which lane.
        waiting = [Signal(MASK_GROUP_BITS, name=f"ones_{cycle + 1}") for cycle in range(_STAGES - 2)]
        m.d.sync += [later.eq(ones) for ones, later in pairwise([find.entries, *waiting])]
        ones = waiting[-1]
        turn, enable = Signal(_LANE), Signal(MASK_GROUP_BITS)
        count, table = Signal(count_bits(self._arch), reset_less=True), self.table
        written = delayed(m, _ones(ones), 2, "written")
        m.d.sync += [turn.eq(turn + _ones(ones)), table.enable.eq(enable)]
        for lane in range(MASK_GROUP_BITS):
            chosen = Signal(_LANE, name=f"chosen_{lane}", reset_less=True)
            entry = Signal(TABLE_ENTRY_BITS, name=f"entry_{lane}", reset_less=True)
            rank = (lane - turn)[:_LANE]
            for bit in range(MASK_GROUP_BITS):
                with m.If(ones[bit] & (_ones(Cat(ones[:bit], C(0, MASK_GROUP_BITS - bit))) == rank)):
                    m.d.sync += chosen.eq(bit)
            m.d.sync += [enable[lane].eq(rank < _ones(ones)), entry.eq(Array(entries)[chosen])]
            m.d.comb += table.entries[lane].eq(entry)
        m.d.comb += [
            table.table.eq(fields.table),
            table.position.eq(count),
            table.set_count.eq(last),
            table.count.eq(count + written),
        ]
        m.d.sync += count.eq(table.count)
        with m.If(~active):
            m.d.sync += [count.eq(0), turn.eq(0)]

    @staticmethod
    def _coordinates(m: Module, bit: int, narrow: Signal, found: Any, second: Any, before: Signal) -> Value:
        """The entry of a bit of the group in a table of a grid's places, in the fourth cycle behind the find.

        ``narrow``: the width of rows narrower than a word, 0 of others.
        """
        part = data.StructLayout({"rows": _OFFSET, "columns": _OFFSET})
        quotients = [
            dict(zip(("rows", "columns"), divmod(offset, divisor) if divisor else (0, offset), strict=True))
            for divisor in range(MASK_WORD_BITS)
            for offset in range(bit, MASK_WORD_BITS, MASK_GROUP_BITS)
        ]
        rom = memory.Memory(shape=part, depth=len(quotients), init=quotients)
        m.submodules[f"quotients_{bit}"] = rom
        read = rom.read_port()
        along, less = (
            Signal(_WIDTH + 1, name=f"along_{bit}", reset_less=True),
            Signal(signed(_WIDTH + 2), name=f"less_{bit}", reset_less=True),
        )
        row, y = (Signal(_PLACE, name=f"{name}_{bit}", reset_less=True) for name in ("row", "y"))
        x = Signal(_WIDTH, name=f"x_{bit}", reset_less=True)
        m.d.comb += read.addr.eq(Cat(found.group, narrow))
        m.d.sync += [
            row.eq(second.y + read.data.rows),
            along.eq(second.x + read.data.columns),
            less.eq(before + read.data.columns),
            y.eq(row + ~less[-1]),
            x.eq(Mux(less[-1], along, less)),
        ]
        return (y << COORDINATE_BITS | x)[:TABLE_ENTRY_BITS]
