"""Block memories of a machine: which memories there are, and how many blocks of 36 Kbit each takes."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.utils import ceil_log2

from gatewright.contract.arch import (
    ACCUMULATOR_BANKS,
    BEAT_BYTES,
    OPERAND_BANKS,
    SCRATCHPAD_BANKS,
    ArchConfig,
)
from gatewright.contract.arithmetic import ACCUMULATOR_BITS
from gatewright.contract.encodings import INSTRUCTION_BEATS, TABLE_ENTRIES_PER_BEAT
from gatewright.hw.signatures import PARAMETER, TABLE_READ

_WIDTHS_18K = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""Words and bits of half a block, read by one port and written by the other."""

_WIDTHS_36K = ((512, 72), (1024, 36), (2048, 18), (4096, 9), (8192, 4), (16384, 2), (32768, 1))

FIXED = {"masks": 3.0, "sequencer": 1.0}
"""Blocks that no parameter changes: the masks, with a copy for each reader, and the predecoder's reciprocals."""


@dataclass(frozen=True)
class BlockMemory:
    """``count`` equal memories of ``depth`` words of ``width`` bits.

    ``small``: with so few words it is made of look-up tables; up to the next power of two it may be, or not.
    ``bytewise``: written byte by byte, so that a block's bits for parity are of no use. ``both_ways``: both ports are
    read, so that none is wider than 36 bits.
    """

    count: int
    depth: int
    width: int
    small: int = 0
    bytewise: bool = False
    both_ways: bool = False

    @property
    def in_tables(self) -> bool:
        """Whether it is made of look-up tables."""
        return self.depth <= self.small

    @property
    def blocks(self) -> float:
        """Blocks of 36 Kbit; half of one counts as 0.5."""
        return 0.0 if self.in_tables else self.count * self._best[0]

    @property
    def stacked(self) -> bool:
        """Whether blocks lie one above the other, so that there is a choice behind them."""
        return not self.in_tables and self._best[1] > 1

    @property
    def _best(self) -> tuple[float, int]:
        """What one of the memories takes in the shape that takes the least, and how many blocks high that is."""
        return min(
            (cost * -(-self.depth // words) * -(-self.width // self._usable(bits)), -(-self.depth // words))
            for cost, shapes in ((0.5, _WIDTHS_18K), (1.0, _WIDTHS_36K))
            for words, bits in shapes
            if not (self.both_ways and bits > (18 if cost == 0.5 else 36))
        )

    def _usable(self, bits: int) -> int:
        return bits if not self.bytewise or bits < 9 else bits // 9 * 8


def block_memories(arch: ArchConfig) -> dict[str, BlockMemory]:
    """The memories whose size depends on the machine, by module."""
    table_rows = 1 << max(1, ceil_log2(-(-arch.table_entries // TABLE_ENTRIES_PER_BEAT)))
    half_row = TABLE_ENTRIES_PER_BEAT // 2
    ring = SCRATCHPAD_BANKS * BEAT_BYTES
    return {
        "scratchpad": BlockMemory(
            SCRATCHPAD_BANKS, arch.scratchpad_bytes // ring, 8 * BEAT_BYTES, bytewise=True, both_ways=True
        ),
        "patch_buffer": BlockMemory(
            OPERAND_BANKS, arch.patch_words // OPERAND_BANKS, 8 * arch.rows, small=64, bytewise=True
        ),
        "weight_buffer": BlockMemory(OPERAND_BANKS * arch.rows, arch.weight_words // OPERAND_BANKS, 8, small=256),
        "accumulators": BlockMemory(
            ACCUMULATOR_BANKS, arch.accumulator_depth, ACCUMULATOR_BITS * arch.columns, small=64
        ),
        "parameters": BlockMemory(2, (arch.parameter_entries + 1) // 2, PARAMETER.size, small=96),
        # A byte of an entry's two, in each half of a row, for each reader.
        "tables": BlockMemory(4 * len(TABLE_READ), (1 << ceil_log2(arch.tables)) * table_rows * half_row, 8, small=256),
        "sequencer": BlockMemory(INSTRUCTION_BEATS, arch.instruction_entries, 8 * BEAT_BYTES),
    }
