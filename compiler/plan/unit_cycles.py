"""How long an instruction holds its unit: the formulas of docs/architecture.md, section 5, without latencies and waits.

They are for a program of replay, whose fields say how many tiles, pixels, filters and channels there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatewright.compiler.plan.averages import DIGITS
from gatewright.contract.arch import BEAT_BYTES, TRANSPOSED_FILTERS, ArchConfig
from gatewright.contract.axi import burst_beats
from gatewright.contract.isa import FORMATS, NO_TABLE, EpilogueKind, Opcode, Stationary, column
from gatewright.contract.timing import ACCUMULATOR_LATENCY, TILE_CYCLES

Fields = dict[str, int]

_COLUMNS = {opcode: {field.name: column(opcode, field.name) for field in FORMATS[opcode].fields} for opcode in Opcode}


def fields_of(row: list[int]) -> Fields:
    """The operands of a decoded instruction, by name."""
    return {name: row[place] for name, place in _COLUMNS[Opcode(row[0])].items()}


def load_rows(fields: Fields, listed: Sequence[int] | None) -> Sequence[int]:
    """The rows that a LOAD reads; ``listed`` are the entries of its table, None if it names none."""
    rows = range(fields["first_row"], fields["first_row"] + fields["rows"])
    return rows if listed is None else listed[rows.start : rows.stop]


def load_cycles(fields: Fields, rows: Sequence[int], arch: ArchConfig) -> int:
    """Cycles of the data channel: every burst's beats, and the gap behind it."""
    total = 0
    for row in rows:
        address, beats = fields["dram_address"] + row * fields["row_stride"], fields["row_beats"]
        while beats:
            length = burst_beats(address, beats)
            total += arch.dram.burst_cycles(length) + arch.dram.burst_gap
            address, beats = address + length * BEAT_BYTES, beats - length
    return total


def gather_cycles(fields: Fields, arch: ArchConfig) -> int:
    """Pieces of runs that are moved, for every pixel of every tile."""
    rows, width = fields["kernel_height"], fields["kernel_width"] * fields["channels"]
    if fields["pixel_channels"] or fields["dilation"] > 1:
        rows, width = rows * fields["kernel_width"], fields["channels"]
    low = fields["first_slice"] * arch.rows
    high = min(rows * width, low + fields["slice_count"] * arch.rows)
    if low >= high:
        return 0
    parts = (min(high, (row + 1) * width) - max(low, row * width) for row in range(rows))
    runs = sum(-(-max(0, part) // arch.gather_bytes) for part in parts)
    least = 1 if fields["tile_table"] == NO_TABLE else TILE_CYCLES
    return fields["tile_count"] * max(fields["tile"] ** 2 * runs, least)


def matmul_cycles(fields: Fields, arch: ArchConfig) -> int:
    """For every block of the standing operand and every slice: the stream, or the next load if that takes longer."""
    slices = max(1, -(-fields["taps"] * fields["channels"] // arch.rows))
    slices = max(0, min(fields["slice_count"], slices - fields["first_slice"]))
    filters_stand = fields["stationary"] == Stationary.FILTERS
    still, stream = fields["filter_count"], fields["pixel_count"]
    if not filters_stand:
        still, stream = stream, still
    rate = 1 if filters_stand and fields["filter_table"] != NO_TABLE else arch.load_vectors
    return slices * sum(max(stream, ACCUMULATOR_LATENCY, -(-block // rate)) for block in _blocks(still, arch.columns))


def epilogue_cycles(fields: Fields, arch: ArchConfig) -> int:
    """By the table of kinds."""
    kind, pixels, filters = EpilogueKind(fields["kind"]), fields["pixel_count"], fields["filter_count"]
    if kind in (EpilogueKind.MAX, EpilogueKind.AVERAGE, EpilogueKind.DIGITS):
        writes = DIGITS if kind == EpilogueKind.DIGITS else 1
        return len(list(_blocks(filters, arch.columns))) * pixels * (fields["window"] ** 2 + writes)
    if fields["stationary"] == Stationary.PIXELS:
        blocks = list(_blocks(pixels, arch.columns))
        if kind == EpilogueKind.THRESHOLD:
            return len(blocks)
        return sum(group + block for block in blocks for group in _blocks(filters, TRANSPOSED_FILTERS))
    blocks = list(_blocks(filters, arch.columns))
    if kind == EpilogueKind.THRESHOLD:
        each = 1
    elif kind == EpilogueKind.STORE:
        each = pixels * (1 + fields["residual"]) + fields["tile_count"] * fields["pool"]
    else:
        each = pixels + 1
    return len(blocks) * each + sum(blocks[1:])


def _blocks(count: int, size: int) -> Iterator[int]:
    """Sizes of the blocks that so many are taken in."""
    for first in range(0, count, size):
        yield min(size, count - first)
