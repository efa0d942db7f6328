"""Random EPILOGUEs with the memories that they read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS, MOST_DIGITS_WINDOW
from gatewright.contract.isa import (
    COLUMNS,
    FORMATS,
    NO_TABLE,
    OPERAND_COLUMN,
    EpilogueKind,
    Opcode,
    Stationary,
    Unit,
    column,
)
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared
from tests.hw.epilogue.depthwise_cases import depthwise_fields
from tests.hw.epilogue.tap_cases import tap_fields
from tests.hw.epilogue.window_cases import window_fields

FILTER_TABLE, EMPTY_TABLE, TILE_TABLE = 0, 1, 2
OTHERS = (Unit.LOAD, Unit.GATHER, Unit.ARRAY, Unit.INDEX, Unit.STORE)
ARCHS = {
    name: replace(PRESETS[preset], name=name, columns=columns, scratchpad_kib=1024)
    for name, preset, columns in (("4x4", "4x4", 4), ("8x8", "8x8", 8), ("12x20", "12x20", 20), ("8x32", "8x8", 32))
}
MOST_PIXELS = (1 << 10) - 1
"""What ``first_pixel`` and ``pixel_count`` can say."""
MOST_STORED = 64
"""More than the channels that any map here has."""

FIRST_COUNT = 65_520
"""Completion counts begin here, so that they wrap."""


@dataclass
class Case:
    """Instructions in order, with the cycles in which they are pushed; ``completions``: units that complete then."""

    arch: ArchConfig
    shared: Shared
    instructions: list[Instruction]
    gaps: list[int]
    completions: dict[int, list[Unit]]
    pushes: list[int] = field(default_factory=list)


def instruction(number: int, waits: list[tuple[int, int]], **fields: int) -> Instruction:
    """An EPILOGUE; operands that are not named are 0, tables none."""
    code = np.zeros(COLUMNS, np.int64)
    code[0] = Opcode.EPILOGUE
    for index, (unit, count) in enumerate(waits):
        code[1 + 2 * index], code[2 + 2 * index] = unit, count
    for name, value in {"tile": 1, "tile_table": NO_TABLE, "filter_table": NO_TABLE, **fields}.items():
        code[column(Opcode.EPILOGUE, name)] = value
    bits = {f.name: f.bits for f in FORMATS[Opcode.EPILOGUE].fields}
    for index, (name, width) in enumerate(bits.items()):
        assert 0 <= code[OPERAND_COLUMN + index] < 1 << width, (name, code[OPERAND_COLUMN + index])
    return Instruction(number, code)


class Generator:
    """Draws legal instructions for one filling of the memories."""

    def __init__(self, arch: ArchConfig, rng: np.random.Generator) -> None:
        self.arch, self.rng = arch, rng
        self.shared = Shared(arch, np.zeros(64, np.uint8), rng)
        self._fill()

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def _fill(self) -> None:
        """Parameters of every magnitude, small accumulators in banks 2 and 3 (for reductions), tables."""
        rng, shared = self.rng, self.shared
        raw = shared.parameters._raw
        entries = len(raw)
        magnitude = 1 << rng.integers(2, 31, entries)
        raw[:, :4] = rng.integers(-magnitude, magnitude).astype("<i4").view(np.uint8).reshape(entries, 4)
        raw[:, 6] = np.where(rng.random(entries) < 0.3, rng.integers(1, 48, entries), rng.integers(18, 46, entries))
        # Poolings of windows: no change, and averages.
        raw[::4, 4:7] = 2, 0, 1
        raw[1::4, 6] = rng.integers(8, 24, len(raw[1::4]))
        banks = shared.accumulators._entries
        banks[:] = rng.integers(-(1 << 30), 1 << 30, banks.shape)
        banks >>= rng.integers(0, 20, banks.shape).astype(np.int32)
        banks[2:] >>= 12
        shared.tables._counts[FILTER_TABLE] = count = self.pick(1, min(3 * self.arch.columns, 48))
        shared.tables._entries[FILTER_TABLE, :count] = np.sort(rng.permutation(60)[:count])

    def tile_table(self, rows: int, columns: int) -> None:
        """Some tiles of a grid, in any order; each once, as a residual may be read ahead."""
        tiles = self.rng.permutation(rows * columns)[: self.pick(1, rows * columns)]
        tables = self.shared.tables
        tiles = tiles[: tables._entries.shape[1]]
        tables._entries[TILE_TABLE, : len(tiles)] = tiles // columns << COORDINATE_BITS | tiles % columns
        tables._counts[TILE_TABLE] = len(tiles)

    def draw(self, number: int, waits: list[tuple[int, int]], rows: int, columns: int, tile: int) -> Instruction:
        """An instruction over a grid of ``rows`` by ``columns`` tiles."""
        if self.chance(0.4):
            return instruction(number, waits, **window_fields(self, self.arch))
        if self.chance(0.15):
            return instruction(number, waits, **tap_fields(self, self.arch))
        if self.chance(0.3):
            tables = TILE_TABLE, FILTER_TABLE
            return instruction(number, waits, **depthwise_fields(self, self.arch, rows, columns, tile, tables))
        kinds = [(EpilogueKind.STORE, Stationary.FILTERS)] * 4 + [(EpilogueKind.STORE, Stationary.PIXELS)] * 2
        kinds += [(EpilogueKind.REDUCE, Stationary.FILTERS), (EpilogueKind.REDUCE_RAW, Stationary.FILTERS)]
        kinds += [(EpilogueKind.THRESHOLD, Stationary.FILTERS), (EpilogueKind.THRESHOLD, Stationary.PIXELS)]
        kind, stationary = kinds[self.pick(0, len(kinds) - 1)]
        arch, shared = self.arch, self.shared
        plain = kind == EpilogueKind.STORE and stationary == Stationary.FILTERS
        reduces = kind in (EpilogueKind.REDUCE, EpilogueKind.REDUCE_RAW)
        out_height, out_width = self.pick(max(1, (rows - 1) * tile), rows * tile), columns * tile
        out_width -= self.pick(0, tile - 1)
        out_height = min(out_height, arch.scratchpad_bytes // 2 // (out_width * MOST_STORED) - 1)
        fields: dict[str, int] = {"kind": kind, "stationary": stationary, "tile": tile}
        fields |= {"out_height": out_height, "out_width": out_width, "grid_width": columns}
        listed = self.chance(0.5)
        tiles = shared.tables.count(TILE_TABLE) if listed else rows * columns
        fields["tile_table"] = TILE_TABLE if listed else NO_TABLE
        fields["first_tile"] = self.pick(0, tiles - 1) if self.chance(0.5) else 0
        fields["tile_count"] = self.pick(1, tiles) if listed else tiles - fields["first_tile"]
        tiles = min(fields["tile_count"], tiles - fields["first_tile"])
        area = tile * tile
        fields["pool"] = int(plain and self.chance(0.5))
        fields["residual"] = int(plain and self.chance(0.5))
        most = min(tiles * area, MOST_PIXELS)
        first, count = self.pick(0, most - 1) if self.chance(0.5) else 0, self.pick(1, most)
        if fields["pool"]:
            first, count = first // area * area, max(area, count // area * area)
        by_table = self.chance(0.5)
        filters = shared.tables.count(FILTER_TABLE) if by_table else self.pick(1, min(3 * arch.columns, 48))
        first_filter = self.pick(0, filters - 1) if self.chance(0.3) else 0
        filters -= first_filter
        fields["compact"] = int(by_table and self.chance(0.7))
        stored = shared.tables.count(FILTER_TABLE) if fields["compact"] else first_filter + filters + self.pick(0, 5)
        if kind == EpilogueKind.THRESHOLD:
            if stationary == Stationary.FILTERS:
                count = 1
            else:
                filters = 1
        # All entries must be in the bank.
        pixels = min(count, tiles * area - first)
        while self._entries(stationary, pixels, filters) > arch.accumulator_depth:
            count = pixels = area if fields["pool"] else 1
            filters = min(filters, arch.columns)
        if reduces and tiles * area >= 2 and self.chance(0.5):
            fields["digits"], first, count = 1, min(first, tiles * area - 2), 2
        if self.chance(0.06):
            count = 0
        fields["accumulator"] = self.pick(0, arch.accumulator_depth - self._entries(stationary, pixels, filters))
        fields["bank"] = self.pick(2, 3) if reduces else self.pick(0, 3)
        fields |= {"first_pixel": first, "pixel_count": count, "first_filter": first_filter, "filter_count": filters}
        fields |= {"filter_table": FILTER_TABLE if by_table else NO_TABLE, "channels": stored}
        if self.chance(0.04):
            fields |= {"filter_table": EMPTY_TABLE, "first_filter": 0}
        fields["parameters"] = self.pick(1, arch.parameter_entries - 64 - 48)
        fields["relu"] = self.pick(0, 1)
        size = out_height * out_width * stored
        scratchpad = arch.scratchpad_bytes
        fields["pool_address"] = self.pick(scratchpad // 2, scratchpad - rows * columns * stored - 1)
        if kind == EpilogueKind.THRESHOLD:
            fields["destination"] = self.pick(0, (1 << 14) - max(pixels, filters))
        else:
            fields["destination"] = self.pick(0, scratchpad // 2 - max(size, 4 * stored) - 1)
        if self.chance(0.4):
            fields |= self._ring(fields, out_width * stored, size)
        if fields["residual"] and self.chance(0.6):
            fields |= self._elsewhere(fields, stored)
            if "wrap_row" not in fields and self.chance(0.8):  # the output's ring is none of the residual's
                fields |= self._ring(fields, out_width * stored, size)
        return instruction(number, waits, **fields)

    def _elsewhere(self, fields: dict[str, int], stored: int) -> dict[str, int]:
        """A residual from anywhere in the last quarter, coarser or not; nothing is written there."""
        shift, half = self.pick(0, 3), self.arch.scratchpad_bytes // 2
        rows, columns = (-(-fields[edge] >> shift) for edge in ("out_height", "out_width"))
        width = min(columns + self.pick(0, 2), 1023)
        most = half // 2 - rows * width * stored - 1
        if most < 0:
            return {}
        pool_address = half + (fields["pool_address"] - half) // 4
        source = half + half // 2 + self.pick(0, most)
        return {
            "elsewhere": 1,
            "upsample": shift,
            "source": source,
            "source_width": width,
            "pool_address": pool_address,
        }

    def _ring(self, fields: dict[str, int], pitch: int, size: int) -> dict[str, int]:
        """Rows from ``wrap_row`` on lie in front of all others, which a residual may read ahead of them."""
        wrap_row = self.pick(1, fields["out_height"] + 1)
        behind = fields["destination"] + wrap_row * pitch - size
        return {"wrap_row": wrap_row, "wrap_bytes": size + self.pick(0, behind)} if behind >= 0 else {}

    def _entries(self, stationary: int, pixels: int, filters: int) -> int:
        still, streamed = (filters, pixels) if stationary == Stationary.FILTERS else (pixels, filters)
        return -(-still // self.arch.columns) * streamed


def random_case(name: str, seed: int, length: int) -> Case:
    """``length`` instructions over one tile grid."""
    arch = ARCHS[name]
    rng = np.random.default_rng(seed)
    draw = Generator(arch, rng)
    tile = (1, 2, 3, 4, 7)[draw.pick(0, 4)]
    rows, columns = draw.pick(1, max(1, 12 // tile)), draw.pick(1, max(1, 12 // tile))
    if draw.chance(0.2):
        # As high, or as wide, as the coordinates of a table and a tile grid's width allow.
        tile, rows, columns = (4, draw.pick(200, 255), 1) if draw.chance(0.5) else (16, 1, draw.pick(50, 63))
    draw.tile_table(rows, columns)
    waits_on: dict[Unit, int] = dict.fromkeys(OTHERS, 0)
    instructions, gaps = [], []
    for number in range(length):
        waits = []
        for unit in rng.permutation(OTHERS)[: draw.pick(0, 3)]:
            waits_on[Unit(unit)] += draw.pick(0, 2)
            waits.append((int(unit), (FIRST_COUNT + waits_on[Unit(unit)]) % (1 << 16)))
        instructions.append(draw.draw(number, waits, rows, columns, tile))
        gaps.append(draw.pick(0, 3) if draw.chance(0.7) else draw.pick(0, 200))
    completions: dict[int, list[Unit]] = {}
    for unit, number in waits_on.items():
        for cycle in np.cumsum(rng.integers(1, 60 if draw.chance(0.5) else 300, number)):
            completions.setdefault(int(cycle), []).append(unit)
    draw.shared.completions._done = [FIRST_COUNT] * len(Unit)
    return Case(arch, draw.shared, instructions, gaps, completions)


def every_window(name: str) -> Case:
    """Windows of every edge with two results, one after the other as fast as it goes: their reads just keep up.

    In front of them windows of one pixel that wait long: their addresses must not be more than there is room for.
    """
    arch = ARCHS[name]
    draw = Generator(arch, np.random.default_rng(0))
    same = {"kind": EpilogueKind.DIGITS, "out_width": 40, "out_height": 1, "tile_count": 40, "pixel_count": 40}
    same |= {"filter_count": 1, "channels": 1, "source_height": 11, "source_width": 50, "destination": 1000, "step": 1}
    wait = (int(Unit.LOAD), (FIRST_COUNT + 1) % (1 << 16))
    instructions = [instruction(0, [wait], window=1, **same)]
    instructions += [instruction(edge, [], window=edge, **same) for edge in range(1, MOST_DIGITS_WINDOW + 1)]
    draw.shared.completions._done = [FIRST_COUNT] * len(Unit)
    return Case(arch, draw.shared, instructions, [0] * len(instructions), {200: [Unit.LOAD]})
