"""Random MATMULs, and operand memories as the RTL's banks and lanes hold them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import OPERAND_BANKS, PRESETS, ArchConfig
from gatewright.contract.isa import COLUMNS, FORMATS, NO_TABLE, OPERAND_COLUMN, Opcode, Unit
from gatewright.sim.stepped.instruction import Instruction, effective_work
from gatewright.sim.stepped.memories.memories import OperandBuffer
from gatewright.sim.stepped.state import Shared


def machine(name: str) -> ArchConfig:
    """An arch from ``rows x columns x load_vectors``, with small memories."""
    rows, columns, load_vectors = map(int, name.split("x"))
    return replace(
        PRESETS["8x8"],
        name=name,
        rows=rows,
        columns=columns,
        load_vectors=load_vectors,
        patch_kib=16,
        weight_kib=32,
        accumulator_depth=256,
    )


@dataclass(frozen=True)
class Region:
    """Vectors of ``slices`` slices from word 4 * ``base`` on."""

    base: int
    vectors: int
    slices: int


def make_regions(rng: Random, words: int, sizes: list[tuple[int, int]]) -> list[Region]:
    """Disjoint regions of (vectors, slices), with gaps."""
    regions, word = [], 0
    for vectors, slices in sizes:
        word += 4 * rng.randrange(5)
        regions.append(Region(word // 4, vectors, slices))
        word += vectors * slices
    assert word <= words, (word, words)
    return regions


def banks_of(buffer: OperandBuffer, regions: list[Region], turned: bool, fill: Random) -> list[list[int]]:
    """[bank][address]: the RTL's words as integers. ``turned``: lanes are rotated by vector div 4."""
    lanes = buffer._lanes
    depth, rows = len(lanes) // OPERAND_BANKS, lanes.shape[1]
    banks = [[fill.getrandbits(8 * rows) for _ in range(depth)] for _ in range(OPERAND_BANKS)]
    for region in regions:
        for s in range(region.slices):
            for v in range(region.vectors):
                word = region.base * 4 + s * region.vectors + v
                data = np.roll(lanes[word], v // 4 % rows) if turned else lanes[word]
                banks[(v + s) % OPERAND_BANKS][word // 4] = int.from_bytes(data.tobytes(), "little")
    return banks


def set_tables(rng: Random, shared: Shared, vectors: int) -> None:
    """New entries (filters below ``vectors``) and counts for all tables, now."""
    tables, entries = shared.tables._entries.shape
    for table in range(tables):
        shared.tables._entries[table] = [rng.randrange(vectors) for _ in range(entries)]
        shared.tables._counts[table] = rng.choice((0, 1, 2, 3, 4, 5, 7, 8, rng.randrange(40), rng.randrange(40)))


def random_matmul(
    rng: Random, shared: Shared, patches: list[Region], weights: list[Region], waits: list[tuple[Unit, int]], row: int
) -> Instruction:
    """A MATMUL that keeps to its regions with the tables as they are now."""
    arch = shared.arch
    while True:
        patch, weight = rng.choice(patches), rng.choice(weights)
        most = min(patch.slices, weight.slices) * arch.rows
        taps = rng.choice((1, 1, 2, 9))
        first_slice = rng.choice((0, 0, 0, 1, 2))
        first_pixel, first_filter = rng.choice((0, 0, 3, rng.randrange(12))), rng.choice((0, 0, 5, rng.randrange(20)))
        tables = [t for t in range(len(shared.tables._counts))]
        fields = {
            "stationary": rng.randrange(2),
            "patch_base": patch.base + first_slice * patch.vectors // OPERAND_BANKS,
            "patch_vectors": patch.vectors,
            "weight_base": weight.base + first_slice * weight.vectors // OPERAND_BANKS,
            "weight_vectors": weight.vectors,
            "taps": taps,
            "channels": rng.choice((0, 1, most // taps, rng.randrange(most // taps + 1))),
            "channel_table": rng.choice((NO_TABLE, NO_TABLE, NO_TABLE, rng.choice(tables))),
            "first_slice": first_slice,
            "slice_count": rng.choice((1, 2, 4095, 4095)),
            "tile": rng.choice((1, 2, 3, 4)),
            "tile_table": rng.choice((NO_TABLE, NO_TABLE, rng.choice(tables))),
            "first_tile": rng.choice((0, 0, 2)),
            "tile_count": rng.choice((1, 2, 5, 12, 40)),
            "first_pixel": first_pixel,
            "pixel_count": rng.choice((1, 2, 3, 4, 5, rng.randrange(40), patch.vectors - first_pixel)),
            "first_filter": first_filter,
            "filter_count": rng.choice((0, 1, 2, 3, 4, 5, rng.randrange(40), weight.vectors - first_filter)),
            "filter_table": rng.choice((NO_TABLE, rng.choice(tables))),
            "accumulator": rng.choice((0, 0, rng.randrange(40))),
            "bank": rng.randrange(4),
            "accumulate": rng.randrange(2),
            "only": rng.choice((0, 0, 0, 1, 2)),
        }
        fields["in_order"] = int(fields["filter_table"] != NO_TABLE and rng.randrange(2))
        code = np.zeros(COLUMNS, np.int64)
        code[0] = Opcode.MATMUL
        for number, (unit, count) in enumerate(waits):
            code[1 + 2 * number : 3 + 2 * number] = unit, count
        for number, field in enumerate(FORMATS[Opcode.MATMUL].fields):
            code[OPERAND_COLUMN + number] = fields[field.name]
        matmul = Instruction(row, code)
        if _fits(matmul, shared, patch, weight):
            return matmul


def _fits(matmul: Instruction, shared: Shared, patch: Region, weight: Region) -> bool:
    """Whether everything it touches exists."""
    arch = shared.arch
    work = effective_work(matmul, shared.tables, arch.rows)
    standing, streaming = work.vectors(matmul["stationary"])
    blocks = -(-standing // arch.columns)
    listed = matmul["filter_table"] != NO_TABLE
    last = work.filters if matmul["in_order"] else matmul["first_filter"] + work.filters
    return (
        matmul["first_slice"] + work.slices <= min(patch.slices, weight.slices)
        and matmul["first_pixel"] + work.pixels <= patch.vectors
        and ((listed and not matmul["in_order"]) or last <= weight.vectors)
        and matmul["accumulator"] + blocks * streaming <= arch.accumulator_depth
        # Not too long for a test, and with an idea of how often nothing is left to do.
        and blocks * work.slices * streaming <= 600
    )


def lanes_of(values: npt.NDArray[np.int32]) -> int:
    """int32 lanes as one integer, lane 0 lowest."""
    return int.from_bytes(np.ascontiguousarray(values, "<i4").tobytes(), "little")
