"""The mask bits."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import MASK_BITS, MASK_COLUMNS, MASKS, ArchConfig
from gatewright.contract.encodings import MASK_WORD_BITS
from gatewright.hw.signatures import mask_read_bit, mask_read_columns, mask_read_word, mask_write

BANKS = 4
ROWS = MASKS * MASK_BITS // MASK_WORD_BITS // BANKS

_BIT, _BANK, _ROW = ceil_log2(MASK_WORD_BITS), ceil_log2(BANKS), ceil_log2(ROWS)
_WORD = ceil_log2(MASK_BITS) - _BIT
"""Bits of a word's number within a mask."""


class Masks(wiring.Component):
    """Word w of all masks' bits lies in row w div 4 of bank w mod 4, so that a few neighbours are read at once.

    A write takes any ``count`` bits at any address, at the end of its cycle: the words are read, changed and written,
    which is far smaller in LUT memory than an enable for each bit. Addresses wrap at the end of all masks.
    After reset the memory is cleared, a row a cycle: ``busy``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._columns = arch.columns
        super().__init__(
            {
                "write": In(mask_write(arch)),
                "gather": In(mask_read_columns()),
                "index": In(mask_read_word()),
                "exit": In(mask_read_bit()),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._banks = [memory.Memory(shape=MASK_WORD_BITS, depth=ROWS, init=[]) for _ in range(BANKS)]
        for number, bank in enumerate(self._banks):
            m.submodules[f"bank_{number}"] = bank
        self._write(m)
        self._read_columns(m)
        index_word = Cat(self.index.word, self.index.mask)
        m.d.sync += self.index.bits.eq(self._read_word(m, index_word, "index"))
        exit_word = self._read_word(m, Cat(self.exit.bit[_BIT:], self.exit.mask), "exit")
        m.d.comb += self.exit.value.eq(exit_word.bit_select(self.exit.bit[:_BIT], 1))
        return m

    def _read_word(self, m: Module, word: Any, name: str) -> Any:
        """A word, in the same cycle."""
        words = []
        for bank in self._banks:
            read = bank.read_port(domain="comb")
            m.d.comb += read.addr.eq(word[_BANK:])
            words.append(read.data)
        result = Signal(MASK_WORD_BITS, name=f"{name}_word")
        m.d.comb += result.eq(Array(words)[word[:_BANK]])
        return result

    def _read_columns(self, m: Module) -> None:
        """Two neighbouring words of a mask, as far as four bits may reach; the register; then the four."""
        word = self.gather.bit[_BIT:]
        words = []
        for number, bank in enumerate(self._banks):
            read = bank.read_port(domain="comb")
            row = Signal(_WORD - _BANK, name=f"gather_row_{number}")
            m.d.comb += [row.eq(word[_BANK:] + (number < word[:_BANK])), read.addr.eq(Cat(row, self.gather.mask))]
            words.append(read.data)
        following = Array(words[(number + 1) % BANKS][: MASK_COLUMNS - 1] for number in range(BANKS))
        pair = Signal(MASK_WORD_BITS + MASK_COLUMNS - 1, reset_less=True)
        first = Signal(_BIT, reset_less=True)
        m.d.sync += [
            pair.eq(Cat(Array(words)[word[:_BANK]], following[word[:_BANK]])),
            first.eq(self.gather.bit[:_BIT]),
        ]
        m.d.comb += self.gather.bits.eq(pair.bit_select(first, MASK_COLUMNS))

    def _write(self, m: Module) -> None:
        """EPILOGUE's bits, or zeros after reset."""
        cleared = Signal(_ROW + 1)
        m.d.comb += self.busy.eq(~cleared[-1])
        with m.If(self.busy):
            m.d.sync += cleared.eq(cleared + 1)
        # The write reaches over so many words.
        span = -(-(self._columns + MASK_WORD_BITS - 1) // MASK_WORD_BITS)
        shift, word = self.write.address[:_BIT], self.write.address[_BIT:]
        bits, enables = Signal(span * MASK_WORD_BITS), Signal(span * MASK_WORD_BITS)
        used = Cat(number < self.write.count for number in range(self._columns))
        m.d.comb += [bits.eq(self.write.bits << shift), enables.eq(used << shift)]
        for number, bank in enumerate(self._banks):
            write, read = bank.write_port(), bank.read_port(domain="comb")
            position, row = Signal(_BANK, name=f"position_{number}"), Signal(_ROW, name=f"row_{number}")
            new, enable = Signal(MASK_WORD_BITS, name=f"new_{number}"), Signal(MASK_WORD_BITS, name=f"enable_{number}")
            m.d.comb += [
                position.eq(number - word[:_BANK]),
                row.eq(word[_BANK:] + (number < word[:_BANK])),
                new.eq(bits.word_select(position, MASK_WORD_BITS)),
                enable.eq(enables.word_select(position, MASK_WORD_BITS)),
                read.addr.eq(row),
                write.addr.eq(Mux(self.busy, cleared[:-1], row)),
                write.data.eq(Mux(self.busy, 0, (read.data & ~enable) | (new & enable))),
                write.en.eq(self.busy | (self.write.valid & (position < span))),
            ]
