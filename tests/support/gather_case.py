"""Random GATHER instructions for the RTL's bench: small maps, every kind of tile list, and all that can be odd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_COLUMNS, MASKS, OPERAND_BANKS, ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS, SCRATCHPAD_SPACE
from gatewright.contract.isa import COLUMNS, FORMATS, NO_MASK, NO_TABLE, Opcode, column
from gatewright.contract.timing import TILE_CYCLES

MOST_PIECES = 600
MOST_SLICES = (1 << 12) - 1
SLICE_CORNERS = {
    "no slices",
    "behind the end",
    "begins inside a kernel row",
    "first kernel row whole",
    "kernel rows skipped",
    "ends inside a kernel row",
    "ends with a kernel row",
    "one kernel row of several",
    "ends with the vector",
    "ends beyond the vector",
    "pixels apart",
    "dilated",
    "pixels apart, a kernel row begins",
    "pixels apart, ends between two",
}
"""What can be special about where an instruction's slices begin and end in its kernel rows."""


@dataclass(frozen=True)
class GatherCase:
    """``code``: the instruction's decoded row; ``tiles``: entries of its tile table; ``channels`` per pixel, by its
    channel table's count, if it has one; ``place``: what the predecoder says of its first pixel; ``runs``: pieces of a
    pixel; ``cycles``: of the walk."""

    code: npt.NDArray[np.int64]
    fields: dict[str, int]
    tiles: list[int]
    channels: int
    place: dict[str, int]
    runs: int
    cycles: int


def slice_runs(arch: ArchConfig, kernel_height: int, run: int, first_slice: int, slice_count: int) -> int:
    """Pieces of a pixel whose kernel rows have ``run`` bytes each: the machine's formula."""
    first = first_slice * arch.rows
    end = min(kernel_height * run, first + slice_count * arch.rows)
    return sum(
        -(-max(0, min(end, (row + 1) * run) - max(first, row * run)) // arch.gather_bytes)
        for row in range(kernel_height)
    )


def apart(fields: dict[str, int]) -> bool:
    """Whether every pixel of a kernel row is moved by itself."""
    return fields["pixel_channels"] > 0 or fields["dilation"] > 1


def slice_corners(case: GatherCase, arch: ArchConfig) -> set[str]:
    """The SLICE_CORNERS that a case has."""
    run = case.fields["kernel_width"] * case.channels
    whole = case.fields["kernel_height"] * run
    if apart(case.fields):
        first = case.fields["first_slice"] * arch.rows
        end = first + case.fields["slice_count"] * arch.rows
        several = bool(case.cycles and case.fields["kernel_width"] > 1)
        holds = {
            "pixels apart": several and case.fields["pixel_channels"] > case.channels,
            "dilated": several and case.fields["dilation"] > 1 and case.fields["kernel_height"] > 1,
            "pixels apart, a kernel row begins": several and first > 0,
            "pixels apart, ends between two": several and end < whole and end % run >= case.channels,
        }
        return {name for name, holding in holds.items() if holding}
    first = case.fields["first_slice"] * arch.rows
    end = first + case.fields["slice_count"] * arch.rows
    if not (case.cycles and whole):
        holds = {"no slices": end == first < whole, "behind the end": 0 < whole <= first < end}
    else:
        holds = {
            "begins inside a kernel row": first % run != 0,
            "kernel rows skipped": first > 2 * run,
            "first kernel row whole": first > 0 == first % run,
            "ends inside a kernel row": end < whole and end % run != 0,
            "ends with a kernel row": end < whole and end % run == 0,
            "one kernel row of several": end < whole and (end - 1) // run == first // run,
            "ends with the vector": first > 0 and end == whole,
            "ends beyond the vector": first > 0 and end > whole,
        }
    assert holds.keys() <= SLICE_CORNERS
    return {name for name, holding in holds.items() if holding}


def random_case(rng: np.random.Generator, arch: ArchConfig, tile_table: int, channel_table: int) -> GatherCase:
    """A GATHER that fits the machine's patch buffer and takes at most MOST_PIECES pieces."""
    while True:
        case = _draw(rng, arch, tile_table, channel_table)
        if case is not None:
            return case


def _draw(rng: np.random.Generator, arch: ArchConfig, tile_table: int, channel_table: int) -> GatherCase | None:
    def integer(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    listed, by_count = chance(0.6), chance(0.4)
    masked = chance(0.5)
    channels = int(rng.choice([0, 1, 2, 3, 5, 8, arch.rows, 16, 37, 64, 100])) if chance(0.7) else integer(1, 40)
    if by_count:
        channels = min(channels, arch.table_entries)
    kernel_height, kernel_width = integer(1, 4), integer(1, MASK_COLUMNS)
    if not masked and chance(0.1):
        kernel_width = integer(MASK_COLUMNS + 1, 15)
    if chance(0.15):
        kernel_height = integer(5, 15)
    if chance(0.05):
        kernel_height, kernel_width = (0, kernel_width) if chance(0.5) else (kernel_height, 0)
    tile = integer(1, 5) if chance(0.95) else integer(0, 9)
    height, width, out_width = integer(1, 14), integer(1, 14), integer(1, 14)
    first_tile, tile_count = integer(0, 5), integer(0, 8)
    farthest = 5 if chance(0.95) else 255
    if chance(0.1):
        height, width, out_width, farthest = integer(1, 1023), integer(1, 1023), integer(1, 1023), 255
        first_tile = first_tile if listed else integer(0, 8191)
    grid = -(-out_width // tile) if tile else 1
    number = integer(0, first_tile + tile_count + 2) if listed else 0
    tiles = [integer(0, farthest) << COORDINATE_BITS | integer(0, farthest) for _ in range(number)]
    count = min(max(0, len(tiles) - first_tile), tile_count) if listed else tile_count
    vectors = count * tile * tile
    whole = -(-kernel_height * kernel_width * channels // arch.rows)
    first_slice, slice_count = 0, integer(whole, MOST_SLICES)
    if chance(0.7):
        # From a slice inside the vector on, often where a kernel row begins; to one inside it, to its end, or beyond.
        borders = [row * kernel_width * channels // arch.rows for row in range(kernel_height + 1)]
        first_slice, end = (
            int(rng.choice(borders)) if chance(0.3) else integer(0, max(0, whole - 1)) for _ in range(2)
        )
        slice_count = max(end - first_slice, 0) if chance(0.3) else integer(1, whole + 1)
        if chance(0.05):
            first_slice, slice_count = integer(0, MOST_SLICES), integer(0, MOST_SLICES)
    pixel_channels = 0 if chance(0.7) else channels + integer(0, 40) if chance(0.9) else integer(0, 8191)
    dilation = integer(0, 1) if chance(0.7) else integer(2, 4) if chance(0.8) else integer(5, 15)
    pixels_apart = pixel_channels > 0 or dilation > 1
    row_bytes = kernel_width * channels
    if pixels_apart and kernel_width > 1 and row_bytes and first_slice * arch.rows % row_bytes:
        # It has to begin with a kernel row.
        starts = [row for row in range(kernel_height) if row * row_bytes % arch.rows == 0] or [0]
        first_slice = int(rng.choice(starts)) * row_bytes // arch.rows
    slices = min(slice_count, max(0, whole - first_slice))
    counted = (kernel_height * kernel_width, channels) if pixels_apart else (kernel_height, row_bytes)
    runs = slice_runs(arch, *counted, first_slice, slice_count)
    pieces = vectors * runs
    patch_vectors = max(4, -(-vectors // 4) * 4) + 4 * integer(0, 2)
    spare = arch.patch_words - slices * patch_vectors
    if pieces > MOST_PIECES or spare < 0 or patch_vectors > 1023:
        return None
    fields = {
        "source": integer(0, arch.scratchpad_bytes - 1),
        "height": height,
        "width": width,
        "channels": 0 if by_count else channels,
        "channel_table": channel_table if by_count else NO_TABLE,
        "kernel_height": kernel_height,
        "kernel_width": kernel_width,
        "stride": integer(0, 3) if chance(0.9) else integer(4, 7),
        "padding_y": integer(0, 3) if chance(0.9) else integer(4, 31),
        "padding_x": integer(0, 3) if chance(0.9) else integer(4, 31),
        "out_width": out_width,
        "tile": tile,
        "tile_table": tile_table if listed else NO_TABLE,
        "first_tile": first_tile,
        "tile_count": tile_count,
        "patch_base": integer(0, min(spare // OPERAND_BANKS, (1 << 12) - 1)),
        "patch_vectors": patch_vectors,
        "source_mask": integer(0, MASKS - 1) if masked else NO_MASK,
        "source_tile": integer(1, 5) if chance(0.8) else integer(6, 31),
        "source_grid": integer(1, 12) if chance(0.9) else integer(13, 63),
        "first_slice": first_slice,
        "slice_count": slice_count,
        "wrap_row": 0,
        "wrap_bytes": integer(0, SCRATCHPAD_SPACE - 1),
        "pixel_channels": pixel_channels,
        "dilation": dilation,
        "filter_table": NO_TABLE,
        "first_filter": integer(0, 1023),
    }
    tile_y, tile_x = divmod(first_tile, grid)
    if chance(0.8):
        # A row that is read, or beside one: of the map where the others are.
        some = integer(0, max(0, count - 1))
        top = tiles[first_tile + some] >> COORDINATE_BITS if listed and count else (first_tile + some) // grid
        line = (top * tile + integer(0, max(0, tile - 1))) * fields["stride"] - fields["padding_y"]
        read = line + integer(0, kernel_height) * max(1, dilation)
        fields["wrap_row"] = read if 0 < read < height and chance(0.8) else integer(0, height)
    place = {"tile": 0, "inside_y": 0, "inside_x": 0, "tile_y": tile_y, "tile_x": tile_x}
    least = TILE_CYCLES if listed and pieces else 0
    cycles = count * max(tile * tile * runs, least)
    return GatherCase(_row(fields), fields, tiles, channels, place, runs, cycles)


def _row(fields: dict[str, int]) -> npt.NDArray[np.int64]:
    code = np.zeros(COLUMNS, np.int64)
    code[0] = Opcode.GATHER
    assert set(fields) == {field.name for field in FORMATS[Opcode.GATHER].fields}
    for name, value in fields.items():
        code[column(Opcode.GATHER, name)] = value
    return code


def head_values(case: GatherCase) -> dict[str, Any]:
    """The members of the queue's head layout."""
    return {"operands": case.fields, "place": case.place}
