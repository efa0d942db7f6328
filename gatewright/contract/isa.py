"""The instruction set: opcodes, units, fields, widths and their meaning.

Everything reads this: the compiler's emitter, the assembler and disassembler, the simulator, the
RTL's decoder and the generated ISA page. An instruction is 256 bits: the opcode, three waits, then
the fields of its format from the low bit up. A field written in ``*_table`` names an index table,
or ``NO_TABLE``.

A program in memory is a *decoded table*, an int64 array of one row per instruction:
``[opcode, wait unit, wait count, ..., fields...]``; ``encode`` and ``decode`` convert it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import INSTRUCTION_BYTES
from gatewright.contract.errors import GatewrightError

VERSION = 1
"""Of the ISA and the register map together: what the register VERSION shows. Raise it with a change of either."""

NO_TABLE = 15
WAITS = 3
OPCODE_BITS, UNIT_BITS, COUNT_BITS = 4, 3, 16


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


class EpilogueKind(IntEnum):
    """What EPILOGUE makes of accumulator entries."""

    STORE = 0
    REDUCE = 1
    REDUCE_RAW = 2
    THRESHOLD = 3


@dataclass(frozen=True)
class Field:
    """One unsigned operand field."""

    name: str
    bits: int
    doc: str


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


def _fields(text: str) -> tuple[Field, ...]:
    """Parse lines of ``name bits description``."""
    rows = [line.split(maxsplit=2) for line in text.splitlines() if line.strip()]
    return tuple(Field(name, int(bits), doc) for name, bits, doc in rows)


_TILES = """
tile 5 edge of a tile in output pixels (1 for pixel by pixel)
tile_table 4 index table of tiles (entry: y << 8 | x, in tiles), or 15 for all tiles in raster order
first_tile 12 first table entry
tile_count 12 entries at most; fewer if the table ends
"""

_PIXELS = """
tile 5 edge of a tile in output pixels; every tile holds tile*tile vectors
tile_table 4 index table that bounds the tiles, or 15
first_tile 12 first table entry of the chunk
tile_count 12 tiles of the chunk at most; fewer if the table ends
first_pixel 10 first vector within the chunk
pixel_count 10 vectors at most; fewer if the chunk ends
first_filter 12 first filter
filter_count 12 filters at most; fewer if the filter table ends
filter_table 4 index table of filters (indirect, and bounding), or 15
"""

FORMATS: dict[Opcode, Format] = {
    f.opcode: f
    for f in (
        Format(
            Opcode.LOAD,
            Unit.LOAD,
            _fields("""
dram_address 32 byte address of row 0, a multiple of 16
space 3 destination, see Space
address 20 scratchpad byte, weight buffer word in units of 4, parameter entry, table number, or instruction entry
rows 13 rows to read; with a table, at most, fewer if the table ends
row_beats 12 beats of 16 bytes in a row
row_stride 20 bytes from one row to the next in DRAM
row_table 4 index table that picks the rows, or 15 for all
vectors 12 weights: vectors of the region, a multiple of 4; one slice takes this many words
taps 8 weights by reduction: kernel taps in a row; row r of tap t has k = t * rows + r
count 13 table: number of entries; weights by vector: slices of a row
"""),
            "Copy rows from DRAM. A row is one or more AXI bursts, split at 4 KiB. Weights by vector: "
            "row n holds the slices of vector n. Weights by reduction: row r holds, per tap, one byte "
            "for each of `vectors` vectors; they are turned on the way in, so that inactive input "
            "channels are never read.",
        ),
        Format(
            Opcode.GATHER,
            Unit.GATHER,
            _fields(
                """
source 20 scratchpad byte address of the input map, [y][x][channel] without padding
height 9 rows of the input map
width 9 columns of the input map
channels 12 channels stored per pixel, if channel_table is 15
channel_table 4 table whose count is the channels stored per pixel, or 15
kernel_height 4 rows of the kernel
kernel_width 4 columns of the kernel
stride 3 pixels of input per pixel of output
padding_y 4 zero rows above the input
padding_x 4 zero columns left of the input
out_width 9 columns of the output map
"""
                + _TILES
                + """
patch_base 12 patch buffer word of slice 0, vector 0, in units of 4 words
patch_vectors 10 vectors of the region, a multiple of 4
source_mask 4 mask of the input map: pixels in inactive tiles read as zero; 15 for none
source_tile 5 edge of the source mask's tiles, in input pixels
source_grid 6 columns of the source mask's tile grid
"""
            ),
            "Form the im2col vectors of the output pixels of some tiles: vector v (pixels in tile order) "
            "gets k = (kernel row, kernel column, channel), contiguous; the last slice is padded with zeros.",
        ),
        Format(
            Opcode.MATMUL,
            Unit.ARRAY,
            _fields(
                """
stationary 1 which operand stands still, see Stationary
patch_base 12 patch buffer word of slice 0, vector 0, in units of 4 words
patch_vectors 10 vectors of the patch region, a multiple of 4
weight_base 14 weight buffer word of slice 0, vector 0, in units of 4 words
weight_vectors 12 vectors of the weight region, a multiple of 4
taps 8 kernel taps; the reduction is taps * channels long
channels 12 input channels, if channel_table is 15
channel_table 4 table whose count is the input channels, or 15
first_slice 10 first slice of the reduction
slice_count 10 slices at most; fewer if the reduction ends
"""
                + _PIXELS
                + """
accumulator 10 first accumulator entry
bank 2 accumulator bank
accumulate 1 add to the entries, instead of starting from zero
"""
            ),
            "Multiply pixels by filters. The stationary operand is taken in blocks of `columns` vectors; per "
            "block, per slice, the other operand streams past. Entry block*T + t holds, for streamed vector t "
            "of T, one int32 per stationary vector.",
        ),
        Format(
            Opcode.EPILOGUE,
            Unit.EPILOGUE,
            _fields(
                """
kind 2 see EpilogueKind
stationary 1 as in the MATMUL that filled the entries
destination 20 scratchpad byte address of the output map [y][x][channel]; threshold: first mask bit
out_height 9 rows of the output map
out_width 9 columns of the output map
channels 12 channels stored per pixel of the output, if compact is 0
compact 1 the channels stored per pixel are the filter table's count
"""
                + _PIXELS
                + """
accumulator 10 first accumulator entry
bank 2 accumulator bank
parameters 12 parameter entry of filter 0; the entry before it is the pooling's
residual 1 add what the output map holds before the last saturation
relu 1 saturate at 0 below
pool 1 write each tile's average, requantised, to the pooled map
pool_address 20 scratchpad byte address of the pooled map [tile][channels]
grid_width 6 columns of the tile grid, for the pooled map
"""
            ),
            "Turn accumulators into results. STORE: bias, requantise, residual, saturate, write. REDUCE: sum over "
            "the pixels first and write one int8 vector. REDUCE_RAW: the same without requantisation, as int32. "
            "THRESHOLD: sign of accumulator plus bias into a mask, one bit per stationary vector.",
        ),
        Format(
            Opcode.INDEX,
            Unit.INDEX,
            _fields("""
mask 4 mask to read
bits 11 bits of the mask
grid_width 11 bits per row: entry y << 8 | x; 0 for plain indices
table 4 table to write
complement 1 list the bits that are 0
"""),
            "Turn a mask into an index table: the positions of its ones, in order, and their count.",
        ),
        Format(
            Opcode.STORE,
            Unit.STORE,
            _fields("""
dram_address 32 byte address, a multiple of 16
address 20 scratchpad byte address, a multiple of 16
beats 16 beats of 16 bytes
"""),
            "Copy from the scratchpad to DRAM.",
        ),
        Format(
            Opcode.NEXT,
            Unit.SEQUENCER,
            _fields("""
entry 13 instruction memory entry to go on at
"""),
            "Go on at another page, once the waits are met.",
        ),
        Format(
            Opcode.EXIT,
            Unit.SEQUENCER,
            _fields("""
mask 4 mask to test
bit 10 bit of the mask
"""),
            "Early exit: once the waits are met, end the program if the bit is 1.",
        ),
        Format(Opcode.END, Unit.SEQUENCER, (), "Stop when every unit is idle."),
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


def column(opcode: Opcode, name: str) -> int:
    """The column of a field in the decoded table."""
    for index, field in enumerate(FORMATS[opcode].fields):
        if field.name == name:
            return OPERAND_COLUMN + index
    raise KeyError(f"{opcode.name} has no field {name}")


def _layout(opcode: Opcode) -> list[tuple[int, int, int, str]]:
    """(column, low bit, bits, name) of every field, header included."""
    layout, low = [(0, 0, OPCODE_BITS, "opcode")], OPCODE_BITS
    for wait in range(WAITS):
        layout.append((1 + 2 * wait, low, UNIT_BITS, f"wait {wait} unit"))
        layout.append((2 + 2 * wait, low + UNIT_BITS, COUNT_BITS, f"wait {wait} count"))
        low += UNIT_BITS + COUNT_BITS
    for index, field in enumerate(FORMATS[opcode].fields):
        layout.append((OPERAND_COLUMN + index, low, field.bits, field.name))
        low += field.bits
    return layout


def _check_waits(code: npt.NDArray[np.int64]) -> None:
    """Only the six units with queues can be waited for."""
    for wait in range(WAITS):
        bad = ~np.isin(code[:, 1 + 2 * wait], (Unit.NONE, *QUEUED_UNITS))
        if bad.any():
            row = int(np.argmax(bad))
            raise GatewrightError(f"instruction {row} ({Opcode(int(code[row, 0])).name}): waits on no unit")


def encode(code: npt.NDArray[np.int64]) -> bytes:
    """The decoded table [n, COLUMNS] as bytes; a value that does not fit its field is an error."""
    words = np.zeros((len(code), INSTRUCTION_BYTES * 8), np.uint8)
    for opcode, rows in _by_opcode(code):
        for where, low, bits, name in _layout(opcode):
            values = code[rows, where]
            if ((values < 0) | (values >> bits != 0)).any():
                worst = rows[int(np.argmax((values < 0) | (values >> bits != 0)))]
                raise GatewrightError(
                    f"instruction {worst} ({opcode.name}): {name} = {code[worst, where]} does not fit in {bits} bits"
                )
            words[rows[:, None], low + np.arange(bits)] = (values[:, None] >> np.arange(bits)) & 1
    _check_waits(code)
    return np.packbits(words, axis=1, bitorder="little").tobytes()


def decode(data: bytes) -> npt.NDArray[np.int64]:
    """The inverse of ``encode``; an unknown opcode, wait unit or a stray bit is an error that names the place."""
    if len(data) % INSTRUCTION_BYTES:
        raise GatewrightError(f"instructions are {INSTRUCTION_BYTES} bytes; {len(data)} bytes is not a whole number")
    packed = np.frombuffer(data, np.uint8).reshape(-1, INSTRUCTION_BYTES)
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(np.int64)
    code = np.zeros((len(bits), COLUMNS), np.int64)
    code[:, 0] = bits[:, :OPCODE_BITS] @ (1 << np.arange(OPCODE_BITS))
    for opcode, rows in _by_opcode(code):
        end = 0
        for where, low, width, _ in _layout(opcode):
            code[rows, where] = bits[rows, low : low + width] @ (1 << np.arange(width, dtype=np.int64))
            end = low + width
        stray = bits[rows, end:].any(axis=1)
        if stray.any():
            raise GatewrightError(f"instruction {rows[int(np.argmax(stray))]} ({opcode.name}): unused bits are set")
    _check_waits(code)
    return code


def _by_opcode(code: npt.NDArray[np.int64]) -> list[tuple[Opcode, npt.NDArray[np.int64]]]:
    groups = []
    for value in np.unique(code[:, 0]):
        rows = np.flatnonzero(code[:, 0] == value)
        if int(value) not in FORMATS:
            raise GatewrightError(f"instruction {rows[0]}: illegal opcode {value}")
        groups.append((Opcode(int(value)), rows))
    return groups
