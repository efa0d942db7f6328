"""The instruction set: opcodes, units, fields, widths and their meaning.

Everything reads this: the compiler's emitter, the assembler and disassembler, the simulator, the
RTL's decoder and the generated ISA page. An instruction is 384 bits: the opcode, three waits, then
the fields of its format from the low bit up. A field written in ``*_table`` names an index table,
or ``NO_TABLE``; one in ``*_mask`` a mask, or ``NO_MASK``.

A program in memory is a *decoded table*, an int64 array of one row per instruction:
``[opcode, wait unit, wait count, ..., fields...]``; ``instruction_words`` converts it to bytes and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from gatewright.contract.arch import INSTRUCTION_BYTES
from gatewright.contract.fields import PIXELS, TILES, Field, parse_fields

VERSION = 3
"""Of the ISA and the register map together: what the register VERSION shows. Raise it with a change of either."""

NO_TABLE = 31
NO_MASK = 63
WAITS = 3
OPCODE_BITS, UNIT_BITS, COUNT_BITS = 5, 4, 16


class Unit(IntEnum):
    """A unit executes its instructions in order and counts those it completed, modulo 2**16."""

    NONE = 0
    LOAD = 1
    GATHER = 2
    ARRAY = 3
    EPILOGUE = 4
    INDEX = 5
    STORE = 6
    SEQUENCER = 7


class Opcode(IntEnum):
    """0 is illegal on purpose: cleared memory stops the machine."""

    LOAD = 1
    GATHER = 2
    MATMUL = 3
    EPILOGUE = 4
    INDEX = 5
    STORE = 6
    NEXT = 7
    EXIT = 8
    END = 9
    SKIP = 10


class Space(IntEnum):
    """Destinations of LOAD."""

    SCRATCHPAD = 0
    WEIGHTS_BY_VECTOR = 1
    WEIGHTS_BY_REDUCTION = 2
    PARAMETERS = 3
    TABLE = 4
    INSTRUCTIONS = 5


class Stationary(IntEnum):
    """Which operand stands still in the array during MATMUL."""

    FILTERS = 0
    PIXELS = 1


class Only(IntEnum):
    """When a MATMUL or an EPILOGUE has work: always; if a table lists all of its `filter_count` filters; if fewer.

    So a program for every sample chooses, as it runs, which operand stands still for a block of filters.
    """

    ALWAYS = 0
    ALL = 1
    """If there are ``filter_count`` filters."""
    FEWER = 2
    """If there are fewer."""


class EpilogueKind(IntEnum):
    """What EPILOGUE makes of accumulator entries; from MAX on of windows of a map, with TAPS of windows of entries.

    DEPTHWISE is there if the machine's ``depthwise`` says so.
    """

    STORE = 0
    REDUCE = 1
    REDUCE_RAW = 2
    THRESHOLD = 3
    MAX = 4
    AVERAGE = 5
    DIGITS = 6
    TAPS = 7
    DEPTHWISE = 8


@dataclass(frozen=True)
class Format:
    """The operand fields of an opcode, from the low bit up, and what the instruction does."""

    opcode: Opcode
    unit: Unit
    fields: tuple[Field, ...]
    doc: str

    @property
    def bits(self) -> int:
        return sum(f.bits for f in self.fields)


FORMATS: dict[Opcode, Format] = {
    f.opcode: f
    for f in (
        Format(
            Opcode.LOAD,
            Unit.LOAD,
            parse_fields("""
dram_address 32 byte address of row 0, a multiple of 16
space 3 destination, see Space
address 20 scratchpad byte, weight buffer word in units of 4, parameter entry, table number, or instruction entry
rows 13 rows to read; with a table, at most, fewer if the table ends
row_beats 12 beats of 16 bytes in a row
row_stride 20 bytes from one row to the next in DRAM
row_table 5 index table that picks the rows, or none for all
vectors 13 weights: vectors of the region, a multiple of 4; one slice takes this many words
taps 8 weights by reduction: kernel taps in a row; row r of tap t has k = t * rows + r
count 13 table: number of entries; weights by vector: slices of a row
first_row 14 number of the first row, or its position in the row table
ring 1 the address is that of the first image: the place of this one in the ring of inputs is added
"""),
            "Copy rows from DRAM. A row is one or more AXI bursts, split at 4 KiB. Weights by vector: "
            "row n holds the slices of vector n. Weights by reduction: row r holds, per tap, one byte "
            "for each of `vectors` vectors; they are turned on the way in, so that inactive input "
            "channels are never read.",
        ),
        Format(
            Opcode.GATHER,
            Unit.GATHER,
            parse_fields(
                """
source 20 scratchpad byte address of the input map, [y][x][channel] without padding
height 10 rows of the input map
width 10 columns of the input map
channels 13 channels read of a pixel, if channel_table is none
channel_table 5 table whose count is the channels read of a pixel, or none
kernel_height 4 rows of the kernel
kernel_width 4 columns of the kernel
stride 3 pixels of input per pixel of output
padding_y 5 zero rows above the input
padding_x 5 zero columns left of the input
out_width 10 columns of the output map
"""
                + TILES
                + """
patch_base 12 patch buffer word of slice first_slice, vector 0, in units of 4 words
patch_vectors 10 vectors of the region, a multiple of 4
source_mask 6 mask of the input map: pixels in inactive tiles read as zero; or none
source_tile 5 edge of the source mask's tiles, in input pixels
source_grid 6 columns of the source mask's tile grid
first_slice 12 first slice of the vectors to form
slice_count 12 slices at most; fewer if the vectors end
wrap_row 10 row of the input map from which on addresses are wrap_bytes lower; 0 for none
wrap_bytes 20 bytes of the ring
pixel_channels 13 bytes from a pixel of the input map to the next, of which channels are read; 0 for as many
dilation 4 pixels of input from a row or column of the kernel to the next; 0 for 1
filter_table 5 index table of the filters that the vectors are for, or none for any
first_filter 10 position of the first of them: nothing is formed if the table lists no more than so many
"""
            ),
            "Form the im2col vectors of the output pixels of some tiles: vector v (pixels in tile order) "
            "gets k = (kernel row, kernel column, channel), contiguous; the last slice is padded with zeros. Of every "
            "vector only `slice_count` slices from `first_slice` on are formed. Where the pixels of a kernel row do "
            "not lie side by side (`pixel_channels` not 0, `dilation` over 1) each is moved by itself.",
        ),
        Format(
            Opcode.MATMUL,
            Unit.ARRAY,
            parse_fields(
                """
stationary 1 which operand stands still, see Stationary
patch_base 12 patch buffer word of slice first_slice, vector 0, in units of 4 words
patch_vectors 10 vectors of the patch region, a multiple of 4
weight_base 14 weight buffer word of slice first_slice, vector 0, in units of 4 words
weight_vectors 13 vectors of the weight region, a multiple of 4
taps 8 kernel taps; the reduction is taps * channels long
channels 13 input channels, if channel_table is none
channel_table 5 table whose count is the input channels, or none
first_slice 12 first slice of the reduction
slice_count 12 slices at most; fewer if the reduction ends
"""
                + PIXELS
                + """
accumulator 10 first accumulator entry
bank 2 accumulator bank
accumulate 1 add to the entries, instead of starting from zero
only 2 when it has work, see Only
in_order 1 filters lie in the order of the table: the one at position first_filter + j is vector j of the region
"""
            ),
            "Multiply pixels by filters. The stationary operand is taken in blocks of `columns` vectors; per "
            "block, per slice, the other operand streams past. Entry block*T + t holds, for streamed vector t "
            "of T, one int32 per stationary vector.",
        ),
        Format(
            Opcode.EPILOGUE,
            Unit.EPILOGUE,
            parse_fields(
                """
kind 4 see EpilogueKind
stationary 1 as in the MATMUL that filled the entries
destination 20 scratchpad byte address of the output map [y][x][channels]; threshold: first mask bit
out_height 10 rows of the output map
out_width 10 columns of the output map
channels 13 channels stored per pixel of the output, if compact is 0
compact 1 the channels stored per pixel are the filter table's count
"""
                + PIXELS
                + """
accumulator 10 first accumulator entry
bank 2 accumulator bank
parameters 12 parameter entry of filter 0; the entry before it is the pooling's; depthwise: 4 entries a channel
residual 1 add a residual before the last saturation: what the output map holds, or see elsewhere
relu 1 saturate at 0 below
pool 1 write each tile's average, requantised, to the pooled map
pool_address 20 scratchpad byte address of the pooled map [tile][channels]
grid_width 6 columns of the tile grid, for the pooled map
digits 1 reduce: entry 0 weighs 128 (the sum of two digits)
source 20 of windows: scratchpad byte address of the map that is read, [y][x][channels]; taps: first entry
source_height 10 rows of that map
source_width 10 columns of that map
window 5 edge of the window in pixels of that map
step 5 pixels of that map from one window to the next, in both directions
inset 4 rows above and columns left of the map at which the first window begins (padding)
wrap_row 10 row of the destination, or of that map, from which on addresses are wrap_bytes lower; 0 for none
wrap_bytes 20 bytes of the ring
elsewhere 1 the residual is that of the map at source, source_width columns wide, not what the output map holds
upsample 2 such a map is coarser: rows and columns of the output are shifted right by so many bits
only 2 when it has work, see Only; windows: always
"""
            ),
            "Turn accumulators into results. STORE: bias, requantise, residual, saturate, write. REDUCE: sum over "
            "the pixels first and write one int8 vector. REDUCE_RAW: the same without requantisation, as int32. "
            "THRESHOLD: sign of accumulator plus bias into a mask, one bit per stationary vector. MAX, AVERAGE, "
            "DIGITS: of windows of a map the maximum, the requantised sum, or the sum as two int8 digits. TAPS: of "
            "windows of a map in the accumulators the sum of a lane for each place, its sign into a mask. DEPTHWISE: "
            "of windows of a map the sum of a channel's bytes times its weights, finished as STORE does.",
        ),
        Format(
            Opcode.INDEX,
            Unit.INDEX,
            parse_fields("""
mask 6 mask to read, or the first of those that follow one another
bits 14 bits of the mask, or of all these
grid_width 14 bits per row: entry y << 8 | x; 0 for plain indices
table 5 table to write
complement 1 list the bits that are 0
first_bit 14 first bit that is listed; those before it count for positions alone
"""),
            "Turn a mask into an index table: the positions of its ones, in order, and their count.",
        ),
        Format(
            Opcode.STORE,
            Unit.STORE,
            parse_fields("""
dram_address 32 byte address, a multiple of 16
address 20 scratchpad byte address, a multiple of 16
beats 16 beats of 16 bytes
ring 1 the address is that of the first image: the place of this one in the ring of outputs is added
"""),
            "Copy from the scratchpad to DRAM.",
        ),
        Format(
            Opcode.NEXT,
            Unit.SEQUENCER,
            parse_fields("""
entry 13 instruction memory entry to go on at
"""),
            "Go on at another page, once the waits are met.",
        ),
        Format(
            Opcode.EXIT,
            Unit.SEQUENCER,
            parse_fields("""
count_table 5 table whose count decides; none counts as 0
most 14 entries of it with which the program goes on
"""),
            "Early exit: once the waits are met, end the image if the table has more than `most` entries.",
        ),
        Format(
            Opcode.SKIP,
            Unit.SEQUENCER,
            parse_fields("""
count_table 5 table whose count decides; none counts as 0
most 14 entries of it with which the instructions are left out
instructions 16 how many of those that follow are left out
"""),
            "Leave out what follows: once the waits are met, if the table has at most `most` entries, the next "
            "`instructions` do nothing, but for NEXT, END and LOADs of instructions; each still counts as complete.",
        ),
        Format(
            Opcode.END,
            Unit.SEQUENCER,
            (),
            "The image ends when every unit is idle: stop, or begin the next one at page 0 if images are left.",
        ),
    )
}

QUEUED_UNITS: tuple[Unit, ...] = tuple(
    unit for unit in Unit if any(f.unit == unit for f in FORMATS.values()) and unit != Unit.SEQUENCER
)
"""Units with a queue and a count of completed instructions, which waits compare."""

UNITS = len(Unit)
"""Entries of a table by unit: indexed by ``Unit``, with unused ones for NONE and SEQUENCER."""

HEADER_BITS = OPCODE_BITS + WAITS * (UNIT_BITS + COUNT_BITS)
OPERAND_COLUMN = 1 + 2 * WAITS
COLUMNS = OPERAND_COLUMN + max(len(f.fields) for f in FORMATS.values())

for _format in FORMATS.values():
    assert HEADER_BITS + _format.bits <= 8 * INSTRUCTION_BYTES, (_format.opcode.name, _format.bits)


@lru_cache(maxsize=len(Opcode))
def _places(opcode: Opcode) -> dict[str, int]:
    """The column of each field, by name."""
    return {field.name: OPERAND_COLUMN + index for index, field in enumerate(FORMATS[opcode].fields)}


def column(opcode: Opcode, name: str) -> int:
    """The column of a field in the decoded table."""
    try:
        return _places(opcode)[name]
    except KeyError:
        raise KeyError(f"{opcode.name} has no field {name}") from None
