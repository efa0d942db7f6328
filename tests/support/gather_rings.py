"""Where the rows of a random GATHER pass the end of a ring."""

from __future__ import annotations

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import NO_TABLE
from tests.support.gather_case import GatherCase

RING_CORNERS = {
    "inside a pixel's kernel rows",
    "inside a pixel's kernel rows, of its later slices",
    "between a tile's pixels",
    "between tiles",
    "at a tile's first row",
    "in a tile with padding above the map",
}
"""What can be special about the row from which on addresses are lower."""


def ring_corners(case: GatherCase, arch: ArchConfig) -> set[str]:
    """The RING_CORNERS that a case has, by the rows that it reads inside the map."""
    fields, border = case.fields, case.fields["wrap_row"]
    if not (border and fields["wrap_bytes"] and case.cycles and case.runs):
        return set()
    run = fields["kernel_width"] * case.channels
    first = fields["first_slice"] * arch.rows
    end = min(fields["kernel_height"] * run, first + fields["slice_count"] * arch.rows)
    kernel_rows = range(first // run, -(-end // run))
    found, sides = set(), set()
    for tile_y in _tile_rows(case):
        lines = []
        tops = [
            (tile_y * fields["tile"] + line) * fields["stride"] - fields["padding_y"] for line in range(fields["tile"])
        ]
        for top in tops:
            reached = [top + row * max(1, fields["dilation"]) for row in kernel_rows]
            rows = [row for row in reached if 0 <= row < fields["height"]]
            if rows:
                lines.append((rows[0], rows[-1]))
                if rows[0] < border <= rows[-1]:
                    found |= {"inside a pixel's kernel rows"}
                    found |= {"inside a pixel's kernel rows, of its later slices"} if first else set()
        if not lines:
            continue
        before, behind = (any(low >= border for low, _ in lines), any(high < border for _, high in lines))
        found |= {"between a tile's pixels"} if before and behind else set()
        found |= {"at a tile's first row"} if lines[0][0] == border else set()
        if tops[0] + kernel_rows[0] < 0 and lines[0][0] < border <= lines[-1][1]:
            found |= {"in a tile with padding above the map"}
        if before != behind and all((low >= border) == (high >= border) for low, high in lines):
            sides.add(before)
    return found | ({"between tiles"} if len(sides) == 2 else set())


def _tile_rows(case: GatherCase) -> list[int]:
    """The row of tiles of every tile."""
    fields = case.fields
    first, count = fields["first_tile"], fields["tile_count"]
    if fields["tile_table"] != NO_TABLE:
        return [entry >> COORDINATE_BITS for entry in case.tiles[first : first + count]]
    grid = -(-fields["out_width"] // fields["tile"])
    return [(first + tile) // grid for tile in range(count)]
