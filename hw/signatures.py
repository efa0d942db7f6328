"""The interfaces between the units and the memories. Every signature is written from the side that asks.

Widths that depend on the machine are functions of ``ArchConfig``. ``valid`` is a request in this cycle; nothing has a
``ready``: every memory serves a request when it is made, and the program orders those that could collide.
"""

from __future__ import annotations

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from gatewright.contract.arch import (
    ACCUMULATOR_BANKS,
    BEAT_BYTES,
    MASK_BITS,
    MASK_COLUMNS,
    MASKS,
    MOST_COLUMNS,
    OPERAND_BANKS,
    PORT_BYTES,
    ArchConfig,
)
from gatewright.contract.arithmetic import ACCUMULATOR_BITS
from gatewright.contract.encodings import (
    INSTRUCTION_BEATS,
    MASK_GROUP_BITS,
    MASK_WORD_BITS,
    PARAMETER_DTYPE,
    TABLE_ENTRIES_PER_BEAT,
    TABLE_ENTRY_BITS,
)
from gatewright.contract.isa import Opcode
from gatewright.hw.layouts import operand_layout

BEAT_BITS = 8 * BEAT_BYTES
SCRATCHPAD_ADDRESS_BITS = operand_layout(Opcode.LOAD)["address"].width
TABLE_BITS = operand_layout(Opcode.INDEX)["table"].width
POSITION_BITS = operand_layout(Opcode.GATHER)["first_tile"].width
WRITE_COUNT_BITS = bits_for(PORT_BYTES)
LANE_COUNT_BITS = bits_for(MOST_COLUMNS)
"""Width of a number of columns: one width for every machine."""
_MASK, _BIT = ceil_log2(MASKS), ceil_log2(MASK_BITS)
PARAMETER = data.StructLayout({name: 8 * PARAMETER_DTYPE[name].itemsize for name in ("bias", "multiplier", "shift")})
"""A parameter entry without its unused byte; ``bias`` is signed."""


def count_bits(arch: ArchConfig) -> int:
    """Width of a table's count."""
    return ceil_log2(arch.table_entries + 1)


def table_counts(arch: ArchConfig) -> data.ArrayLayout:
    """The counts of all index tables."""
    return data.ArrayLayout(count_bits(arch), arch.tables)


def lanes(count: int, bits: int = 8) -> data.ArrayLayout:
    """``count`` lanes of ``bits`` bits, lane 0 lowest."""
    return data.ArrayLayout(bits, count)


def table_read() -> wiring.Signature:
    """A table entry, so many cycles after its address as TABLE_READ says of the reader."""
    return wiring.Signature({"table": Out(TABLE_BITS), "position": Out(POSITION_BITS), "entry": In(TABLE_ENTRY_BITS)})


TABLE_READ = {"gather": 1, "array": 2, "epilogue_filter": 1, "epilogue_tile": 1, "load_row": 1}
"""Readers of the tables, with the cycles from a position to its entry: two where it is a register."""


def table_write_group(arch: ArchConfig) -> wiring.Signature:
    """INDEX writes: up to a group's entries from ``position`` on, and the count of ``table``, at the end of the cycle.

    The entry at position n is in lane n mod MASK_GROUP_BITS; those are written whose lanes ``enable`` says.
    """
    return wiring.Signature(
        {
            "enable": Out(MASK_GROUP_BITS),
            "table": Out(TABLE_BITS),
            "position": Out(POSITION_BITS),
            "entries": Out(lanes(MASK_GROUP_BITS, TABLE_ENTRY_BITS)),
            "set_count": Out(1),
            "count": Out(count_bits(arch)),
        }
    )


def table_write_row(arch: ArchConfig) -> wiring.Signature:
    """LOAD writes: up to 8 entries from position 8 * ``row`` on, and the count of ``table``."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "table": Out(TABLE_BITS),
            "row": Out(POSITION_BITS - ceil_log2(TABLE_ENTRIES_PER_BEAT)),
            "enable": Out(TABLE_ENTRIES_PER_BEAT),
            "entries": Out(BEAT_BITS),
            "set_count": Out(1),
            "count": Out(count_bits(arch)),
        }
    )


MASK_WRITE = 3
"""Cycles from a request to write mask bits to the one in which they are written."""


def mask_write(arch: ArchConfig) -> wiring.Signature:
    """EPILOGUE writes ``count`` mask bits from flat bit address (mask * MASK_BITS + bit) ``address`` on.

    They are written in the MASK_WRITE-th cycle behind the request, at its end. A request that follows another one in
    MASK_WRITE cycles or fewer begins where that ended.
    """
    return wiring.Signature(
        {"valid": Out(1), "address": Out(_MASK + _BIT), "count": Out(LANE_COUNT_BITS), "bits": Out(arch.columns)}
    )


def mask_read_columns() -> wiring.Signature:
    """GATHER: MASK_COLUMNS bits from ``bit`` on of a mask (wrapping within it), two cycles after the address."""
    return wiring.Signature({"mask": Out(_MASK), "bit": Out(_BIT), "bits": In(MASK_COLUMNS)})


def mask_read_word() -> wiring.Signature:
    """INDEX: MASK_WORD_BITS bits, one cycle after the address, which goes over all masks.

    In the cycle before, the address has to be the same, or the word before it. ``next_word`` is ``word`` + 1; it wraps.
    """
    word = _MASK + _BIT - ceil_log2(MASK_WORD_BITS)
    return wiring.Signature({"word": Out(word), "next_word": Out(word), "bits": In(MASK_WORD_BITS)})


def scratchpad_read(data_bytes: int) -> wiring.Signature:
    """Up to PORT_BYTES bytes from a byte address, any alignment; ``data`` is there SCRATCHPAD_READ cycles later.

    Addresses beyond the end wrap.
    """
    return wiring.Signature({"valid": Out(1), "address": Out(SCRATCHPAD_ADDRESS_BITS), "data": In(lanes(data_bytes))})


SCRATCHPAD_READ = 4
"""From a read's request to its bytes, aligned: bank address, bank, output register and rotation, aligned register."""

SCRATCHPAD_WRITE = 1
"""From a write's request to the cycle of the write (visible to bank accesses from the next cycle on)."""


def scratchpad_write(data_bytes: int) -> wiring.Signature:
    """Write the first ``count`` of ``data_bytes`` (at most PORT_BYTES) bytes at a byte address, any alignment."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "address": Out(SCRATCHPAD_ADDRESS_BITS),
            "count": Out(WRITE_COUNT_BITS),
            "data": Out(lanes(data_bytes)),
        }
    )


def patch_address_bits(arch: ArchConfig) -> int:
    """Bits of a word address within a bank of the patch buffer."""
    return ceil_log2(arch.patch_words // OPERAND_BANKS)


def weight_address_bits(arch: ArchConfig) -> int:
    """Bits of an address within a lane of the weight buffer."""
    return ceil_log2(arch.weight_words // OPERAND_BANKS)


def patch_write(arch: ArchConfig) -> wiring.Signature:
    """GATHER writes: per bank a word address, ``rows`` byte enables, ``rows`` bytes; written in this cycle."""
    bank = data.StructLayout({"address": patch_address_bits(arch), "enable": arch.rows, "data": lanes(arch.rows)})
    return wiring.Signature({"banks": Out(data.ArrayLayout(bank, OPERAND_BANKS))})


def patch_read(arch: ArchConfig) -> wiring.Signature:
    """ARRAY reads: an address per bank, the banks' words OPERAND_READ cycles later."""
    return wiring.Signature(
        {
            "addresses": Out(data.ArrayLayout(patch_address_bits(arch), OPERAND_BANKS)),
            "words": In(data.ArrayLayout(lanes(arch.rows), OPERAND_BANKS)),
        }
    )


OPERAND_READ = 2
"""From an operand buffer's address to its word: the bank, the output register."""


def weight_write(arch: ArchConfig) -> wiring.Signature:
    """LOAD writes: per bank and physical lane an enable, an address and a byte; written in this cycle.

    Lane l of a vector v lies in physical lane (l + v div 4) mod rows of bank (v + s) mod 4.
    """
    lane = data.StructLayout({"enable": 1, "address": weight_address_bits(arch), "data": 8})
    return wiring.Signature({"banks": Out(data.ArrayLayout(data.ArrayLayout(lane, arch.rows), OPERAND_BANKS))})


def weight_read(arch: ArchConfig) -> wiring.Signature:
    """ARRAY reads: an address per bank, the banks' physical lanes OPERAND_READ cycles later."""
    return wiring.Signature(
        {
            "addresses": Out(data.ArrayLayout(weight_address_bits(arch), OPERAND_BANKS)),
            "words": In(data.ArrayLayout(lanes(arch.rows), OPERAND_BANKS)),
        }
    )


def accumulator_read(arch: ArchConfig) -> wiring.Signature:
    """An entry (``columns`` signed 32-bit lanes), ACCUMULATOR_READ cycles after its address."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "bank": Out(ceil_log2(ACCUMULATOR_BANKS)),
            "entry": Out(ceil_log2(arch.accumulator_depth)),
            "lanes": In(lanes(arch.columns, ACCUMULATOR_BITS)),
        }
    )


ACCUMULATOR_READ = 2
"""The bank, the output register."""


def accumulator_write(arch: ArchConfig) -> wiring.Signature:
    """Write an entry in this cycle."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "bank": Out(ceil_log2(ACCUMULATOR_BANKS)),
            "entry": Out(ceil_log2(arch.accumulator_depth)),
            "lanes": Out(lanes(arch.columns, ACCUMULATOR_BITS)),
        }
    )


def parameter_read(arch: ArchConfig) -> wiring.Signature:
    """A parameter entry, PARAMETER_READ cycles after its address; ``early`` is the same a cycle before."""
    return wiring.Signature(
        {"entry": Out(ceil_log2(arch.parameter_entries)), "parameter": In(PARAMETER), "early": In(PARAMETER)}
    )


PARAMETER_READ = 2


def parameter_write(arch: ArchConfig) -> wiring.Signature:
    """LOAD writes the two entries of a beat; ``entry`` may be odd. Written in this cycle."""
    return wiring.Signature({"valid": Out(1), "entry": Out(ceil_log2(arch.parameter_entries)), "data": Out(BEAT_BITS)})


def instruction_write(arch: ArchConfig) -> wiring.Signature:
    """LOAD writes a beat, part ``part`` (0: the low bits) of instruction ``entry``. Written in this cycle."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "entry": Out(ceil_log2(arch.instruction_entries)),
            "part": Out(ceil_log2(INSTRUCTION_BEATS)),
            "data": Out(BEAT_BITS),
        }
    )
