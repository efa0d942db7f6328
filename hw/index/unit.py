"""INDEX: a mask becomes a table, word by word, one entry a cycle."""

from __future__ import annotations

from typing import ClassVar

from amaranth import C, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import MASK_BITS, ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS, MASK_WORD_BITS, TABLE_ENTRY_BITS
from gatewright.contract.isa import Opcode, Unit
from gatewright.contract.timing import DECODE_LATENCY, INDEX_LATENCY
from gatewright.hw.layouts import operand_layout
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import count_bits, head_signature, mask_read_word, progress_signature, table_write_entry

WRITE_STAGE = INDEX_LATENCY - 1 - DECODE_LATENCY
"""Pipeline stage of the table's write: the table stands still for DECODE_LATENCY cycles before the completion."""


_OFFSET = ceil_log2(MASK_WORD_BITS)
_FIELDS = operand_layout(Opcode.INDEX)
_WIDTH, _PLACE = _FIELDS["grid_width"].width, _FIELDS["bits"].width
_STEPS = MASK_WORD_BITS.bit_length()

_GROUP = 4
"""Bits of a word that are looked at together."""

_FIND = data.StructLayout({"entry": 1, "last": 1, "offset": _OFFSET, "y": _PLACE, "x": _WIDTH, "first": _PLACE})
"""What a cycle of the scan finds: an entry at bit ``offset`` of a word, or nothing; ``last`` ends the table. The word
begins at position ``first``, and that is (``y``, ``x``)."""

_STAGES = 5
"""Registers from the scan to the entry: the find, its offset as rows and columns, sums, (y, x), the entry."""
assert WRITE_STAGE >= _STAGES


def _at_least(bits: Value) -> tuple[Value, Value, Value]:
    """Whether at least one of them is 1, two, three: by groups, and groups of groups, without a carry."""
    if len(bits) == 1:
        return bits, Const(0, 1), Const(0, 1)
    half = len(bits) // 2
    (one, two, three), (other, pair, more) = _at_least(bits[:half]), _at_least(bits[half:])
    return one | other, two | pair | (one & other), three | more | (two & other) | (one & pair)


class IndexUnit(wiring.Component):
    """A scanner of 16-bit words and a pipeline to the table's write.

    From s + 1 on each cycle finds the lowest one left in the word; an empty word takes a cycle too. The mask is read
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
                "table": Out(table_write_entry(arch)),
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
        # What is left of the word that is looked at: at most one bit, so that it ends; whether it is the last word.
        word, some, ends_now, final = Signal(MASK_WORD_BITS), Signal(), Signal(), Signal(reset_less=True)
        # Of the word behind it, which the mask gives: words from it on, whether it is the last, its bits that count.
        words, coming_final = Signal(_PLACE + 1 - _OFFSET, reset_less=True), Signal(reset_less=True)
        tail, counts = Signal(MASK_WORD_BITS, reset_less=True), Signal(MASK_WORD_BITS)
        # Words before that of the first bit that is listed, from the coming one on; the bits of that word that are.
        before, within = Signal(_PLACE + 1 - _OFFSET, reset_less=True), Signal(reset_less=True)
        lead, listed = Signal(MASK_WORD_BITS, reset_less=True), Signal(MASK_WORD_BITS)
        coming, remaining = Signal(MASK_WORD_BITS), Signal(MASK_WORD_BITS)
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
        groups = [word.word_select(number, _GROUP) for number in range(MASK_WORD_BITS // _GROUP)]
        m.d.comb += [
            ends.eq(scanning & ends_now),
            counts.eq(tail | (~coming_final).replicate(MASK_WORD_BITS)),
            listed.eq((lead | (~within).replicate(MASK_WORD_BITS)) & (~before.any()).replicate(MASK_WORD_BITS)),
            coming.eq((self.mask.bits ^ complement.replicate(MASK_WORD_BITS)) & counts & listed),
            # Groups of bits instead of a carry.
            remaining.eq(
                Cat(
                    group[bit] & Cat(*(other.any() for other in groups[:number]), group[:bit]).any()
                    for number, group in enumerate(groups)
                    for bit in range(_GROUP)
                )
            ),
            # The mask's next bits are those behind the word that is looked at from the next cycle on.
            self.mask.word.eq(Mux(scanning, Mux(ends, after, following), begin)),
            self.mask.next_word.eq(Mux(scanning, Mux(ends, beyond, after), second)),
            find.entry.eq(scanning & some),
            find.last.eq(ends & final),
        ]
        # Numbers one and two further on are registers too: a sum in front of a memory's address is long.
        m.d.sync += [
            following.eq(self.mask.word),
            after.eq(self.mask.next_word),
            beyond.eq(Mux(scanning, Mux(ends, beyond + 1, beyond), third)),
        ]
        lowest = word & ~remaining
        m.d.comb += find.offset.eq(
            Cat(Cat(lowest[n] for n in range(MASK_WORD_BITS) if n >> bit & 1).any() for bit in range(_OFFSET))
        )
        any_coming, several_coming, _ = _at_least(coming)
        _, several, crowd = _at_least(word)
        with m.If(ends | ~scanning):
            m.d.sync += [word.eq(coming), some.eq(any_coming), ends_now.eq(~several_coming)]
        with m.Else():
            m.d.sync += [word.eq(remaining), some.eq(several), ends_now.eq(~crowd)]
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
        """From the find to the table."""
        width = fields.grid_width
        # Rows narrower than a word may end more than once in it: their quotients come from a table.
        part = data.StructLayout({"rows": _OFFSET, "columns": _OFFSET})
        quotients = [
            {"rows": offset // divisor if divisor else 0, "columns": offset % divisor if divisor else 0}
            for divisor in range(MASK_WORD_BITS)
            for offset in range(MASK_WORD_BITS)
        ]
        rom = memory.Memory(shape=part, depth=len(quotients), init=quotients)
        m.submodules.quotients = rom
        read = rom.read_port()
        found = delayed(m, find, 1, "find")
        second = delayed(m, found, 1, "find_second")
        m.d.comb += read.addr.eq(Cat(found.offset, width[:_OFFSET]))

        narrow = Signal(reset_less=True)
        before = Signal(signed(_WIDTH + 2), reset_less=True)
        along, less = Signal(_WIDTH + 1, reset_less=True), Signal(signed(_WIDTH + 2), reset_less=True)
        row, y = Signal(_PLACE, reset_less=True), Signal(_PLACE, reset_less=True)
        x = Signal(_WIDTH, reset_less=True)
        entry = Signal(TABLE_ENTRY_BITS, reset_less=True)
        columns = Mux(narrow, read.data.columns, second.offset)
        position = delayed(m, Cat(second.offset, second.first[_OFFSET:]), 2, "position")
        m.d.sync += [
            narrow.eq(width < MASK_WORD_BITS),
            before.eq(found.x - width),
            row.eq(second.y + Mux(narrow, read.data.rows, 0)),
            along.eq(second.x + columns),
            less.eq(before + columns),
            y.eq(row + ~less[-1]),
            x.eq(Mux(less[-1], along, less)),
            entry.eq(Mux(width == 0, position, y << COORDINATE_BITS | x)),
        ]

        count, table = Signal(count_bits(self._arch), reset_less=True), self.table
        writes = Signal(WRITE_STAGE)
        m.d.sync += writes.eq(Cat(find.entry, writes[:-1]))
        m.d.comb += [
            table.valid.eq(writes[-1]),
            table.table.eq(fields.table),
            table.position.eq(count),
            table.entry.eq(delayed(m, entry, WRITE_STAGE - _STAGES, "entry")),
            table.set_count.eq(last),
            table.count.eq(count + table.valid),
        ]
        with m.If(~active):
            m.d.sync += count.eq(0)
        with m.Elif(table.valid):
            m.d.sync += count.eq(count + 1)
