"""What the tables leave of an instruction's sizes, and which tiles it has."""

from __future__ import annotations

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS, COORDINATE_MASK
from gatewright.contract.isa import NO_TABLE, Stationary
from gatewright.verify.kit.coverage.executed import Executed


class Sizes:
    """What the tables leave of an instruction's sizes (section 3 of the machine's manual)."""

    def __init__(self, arch: ArchConfig, one: Executed) -> None:
        self.arch, self.one, self.opcode, self.fields, self.work = arch, one, one.opcode, one.fields, one.work

    def listed(self, table: str) -> int | None:
        """Entries of the table that a field names; None if it names none, or the opcode has no such field."""
        number = self.fields.get(table, NO_TABLE)
        return None if number == NO_TABLE else len(self.one.tables[number])

    def left(self, table: str, first: str, most: str) -> int:
        """Entries from ``first`` on, ``most`` at most, that the table leaves."""
        listed, count = self.listed(table), self.fields[most]
        return count if listed is None else min(max(listed - self.fields[first], 0), count)

    @property
    def tiles(self) -> int:
        return self.left("tile_table", "first_tile", "tile_count")

    @property
    def filters(self) -> int:
        return self.left("filter_table", "first_filter", "filter_count")

    @property
    def tile_pixels(self) -> int:
        return self.fields["tile"] ** 2

    def partly(self, table: str, left: int, most: str) -> bool:
        return self.listed(table) is not None and 0 < left < self.fields[most]

    def wholly(self, table: str, left: int, most: str) -> bool:
        return self.listed(table) is not None and 0 < left == self.fields[most]

    def cut(self, *, right: bool, below: bool) -> bool:
        """Whether a tile of the chunk crosses these edges of the output map."""
        tile, width = self.fields["tile"], self.fields["out_width"]
        # GATHER knows no rows of its output: it forms them, and EPILOGUE does not write them.
        height = self.fields.get("out_height", 0)
        if not self.work["cycles"] or (right and not width % tile) or (below and not height % tile):
            return False
        columns, first = -(-width // tile), self.fields["first_tile"]
        table = self.fields["tile_table"]
        for position in range(first, first + self.tiles):
            y, x = divmod(position, columns)
            if table != NO_TABLE:
                entry = int(self.one.tables[table][position])
                y, x = entry >> COORDINATE_BITS, entry & COORDINATE_MASK
            if (not right or (x + 1) * tile > width) and (not below or (y + 1) * tile > height):
                return True
        return False

    @property
    def still(self) -> int:
        """Vectors of the operand that stands."""
        return self.work["filters" if self.fields["stationary"] == Stationary.FILTERS else "pixels"]

    @property
    def splits(self) -> bool:
        """Whether a chunk's vectors lie in tiles here; windows over maps know pixels alone."""
        return self.fields["tile"] > 1 and self.work["pixels"] > 0

    @property
    def border(self) -> bool:
        """Whether GATHER may reach beyond its map: it is padded, or the kernel passes the right edge."""
        return bool(self.fields["padding_x"] or self.fields["padding_y"]) and self.work["cycles"] > 0
