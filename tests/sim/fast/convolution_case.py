"""A random gated convolution as a program, and what it must compute, by plain loops over pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import NO_MASK, NO_TABLE, Opcode, Space
from gatewright.contract.program import Program
from tests.support.operands import beats_of_vector, by_reduction, by_vector, parameters, slices_of
from tests.support.programs import Image, Row, in_sequence, make_program, row

TILES, FILTERS, CHANNELS, SOURCE = 0, 1, 2, 5
"""The tables of tiles, filters and input channels, and the mask of the input's tiles."""


@dataclass(frozen=True)
class Case:
    """A convolution [height, width, len(channels_on)] -> [out height, out width, filters] on some tiles."""

    arch: ArchConfig
    height: int
    width: int
    channels: int
    filters: int
    kernel: int
    stride: int
    padding: int
    tile: int
    pixels_stand: bool
    by_reduction: bool
    residual: bool
    relu: bool
    pool: bool
    compact: bool
    tiles_on: tuple[int, ...] | None
    filters_on: tuple[int, ...] | None
    channels_on: tuple[int, ...] | None
    source_tile: int
    source_on: tuple[int, ...] | None
    tiles_at_once: int
    pixels_at_once: int
    filters_at_once: int
    slices_at_once: int
    seed: int

    @property
    def out_height(self) -> int:
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def grid(self) -> tuple[int, int]:
        return -(-self.out_height // self.tile), -(-self.out_width // self.tile)

    @property
    def source_grid(self) -> tuple[int, int]:
        return -(-self.height // self.source_tile), -(-self.width // self.source_tile)


def draw(arch: ArchConfig, seed: int) -> Case:
    """A case from a seed: every option drawn, kept where the machine has it."""
    rng = np.random.default_rng(seed)

    def flag(chance: float = 0.5) -> bool:
        return bool(rng.random() < chance)

    def subset(count: int) -> tuple[int, ...]:
        return tuple(np.flatnonzero(rng.random(count) < rng.choice([0.3, 0.7, 1.0])).tolist())

    kernel, tile = int(rng.choice([1, 3])), int(rng.choice([1, 2, 4]))
    height, width = (int(n) for n in rng.integers(kernel, 11, 2))
    channels, filters = int(rng.choice([1, 3, 5, 16, 21])), int(rng.choice([1, 4, 7, 20, 37]))
    pixels_stand = flag()
    source_tile = int(rng.choice([1, 2, 4]))
    case = Case(
        arch=arch,
        height=height,
        width=width,
        channels=channels,
        filters=filters,
        kernel=kernel,
        stride=int(rng.choice([1, 2])),
        padding=int(rng.integers(0, kernel // 2 + 1)),
        tile=tile,
        pixels_stand=pixels_stand,
        by_reduction=flag(),
        residual=not pixels_stand and flag(),
        relu=flag(),
        pool=not pixels_stand and flag(),
        compact=flag(),
        tiles_on=None,
        filters_on=subset(filters) if flag() else None,
        channels_on=None,
        source_tile=source_tile,
        source_on=None,
        tiles_at_once=int(rng.integers(1, 4)),
        pixels_at_once=int(rng.integers(1, 20)),
        filters_at_once=int(rng.integers(1, 41)),
        slices_at_once=int(rng.integers(1, 8)),
        seed=seed,
    )
    changes: dict[str, object] = {}
    if flag():
        changes["tiles_on"] = subset(case.grid[0] * case.grid[1])
    if case.by_reduction and flag():
        changes["channels_on"] = subset(channels)
    if flag():
        changes["source_on"] = subset(case.source_grid[0] * case.source_grid[1])
    if case.filters_on is None:
        changes["compact"] = False
    if case.pool:  # whole tiles only
        changes["pixels_at_once"] = tile * tile * int(rng.integers(1, 4))
    return Case(**{**vars(case), **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Data:
    """Random contents. ``source`` holds only the active input channels; ``weights`` all."""

    source: npt.NDArray[np.int8]
    weights: npt.NDArray[np.int8]
    entries: list[tuple[int, int, int]]
    """Parameters; entry 0 is the pooling's, entry f + 1 filter f's."""
    before: npt.NDArray[np.int8]
    """The output map before: the residual, and what lies outside the active tiles."""
    pooled_before: npt.NDArray[np.int8]


def contents(case: Case) -> Data:
    """Random data for a case, with scales that leave most values inside int8."""
    rng = np.random.default_rng(case.seed + 1_000_000)
    active = case.channels if case.channels_on is None else len(case.channels_on)
    reduction = case.kernel * case.kernel * max(1, active)
    stored = len(case.filters_on or ()) if case.compact else case.filters
    shift = 8 + int(np.log2(reduction) / 2 + 4)
    scales = [
        (int(rng.integers(-5000, 5000)), int(rng.integers(200, 800)), int(rng.integers(shift - 1, shift + 2)))
        for _ in range(case.filters)
    ]
    return Data(
        source=rng.integers(-128, 128, (case.height, case.width, active)).astype(np.int8),
        weights=rng.integers(-128, 128, (case.filters, case.kernel**2, case.channels)).astype(np.int8),
        entries=[(12345, 65536 // case.tile**2 - 1, 16), *scales],
        before=rng.integers(-128, 128, (case.out_height, case.out_width, stored)).astype(np.int8),
        pooled_before=rng.integers(-128, 128, (*case.grid, case.filters)).astype(np.int8),
    )


def round_scale(value: int, multiplier: int, shift: int) -> int:
    """Round half up of value * multiplier / 2**shift, in int16."""
    return max(-32768, min(32767, (2 * value * multiplier + 2**shift) // 2 ** (shift + 1)))


def expected(case: Case, data: Data) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """The output map and the pooled map after the convolution."""
    out, pooled = data.before.astype(int), data.pooled_before.copy()
    channels = list(range(case.channels) if case.channels_on is None else case.channels_on)
    filters = list(range(case.filters) if case.filters_on is None else case.filters_on)
    tiles = range(case.grid[0] * case.grid[1]) if case.tiles_on is None else case.tiles_on
    source, weights = data.source.astype(int), data.weights.astype(int)
    for tile in tiles:
        top, left = tile // case.grid[1] * case.tile, tile % case.grid[1] * case.tile
        inside = [
            (y, x)
            for y in range(top, min(top + case.tile, case.out_height))
            for x in range(left, min(left + case.tile, case.out_width))
        ]
        for y, x in inside:
            total = np.zeros(case.filters, int)
            for tap in range(case.kernel**2):
                sy = y * case.stride + tap // case.kernel - case.padding
                sx = x * case.stride + tap % case.kernel - case.padding
                if not (0 <= sy < case.height and 0 <= sx < case.width):
                    continue
                cell = sy // case.source_tile * case.source_grid[1] + sx // case.source_tile
                if case.source_on is not None and cell not in case.source_on:
                    continue
                total += weights[:, tap][:, channels] @ source[sy, sx]
            for position, one in enumerate(filters):
                bias, multiplier, shift = data.entries[one + 1]
                value = round_scale(int(total[one]) + bias, multiplier, shift)
                value += int(out[y, x, position]) if case.residual else 0
                out[y, x, position] = max(0 if case.relu else -128, min(127, value))
        if case.pool:
            for position in range(len(filters)):
                total_out = sum(int(out[y, x, position]) for y, x in inside)
                average = round_scale(total_out, *data.entries[0][1:])
                pooled[tile // case.grid[1], tile % case.grid[1], position] = max(-128, min(127, average))
    return out.astype(np.int8), pooled


def set_mask(arch: ArchConfig, image: Image, mask: int, bits: npt.NDArray[np.bool_]) -> list[Row]:
    """Rows that write a mask with the machine's own means: biases of either sign on empty sums."""
    assert len(bits) <= 256
    address = image.add(parameters([(0 if bit else -1, 0, 1) for bit in bits]))
    base = arch.parameter_entries - 260
    pixels = {"tile": 1, "tile_count": 1, "pixel_count": 1, "tile_table": NO_TABLE, "filter_count": len(bits)}
    return [
        row(
            Opcode.LOAD,
            space=Space.PARAMETERS,
            dram_address=address,
            address=base,
            rows=1,
            row_beats=-(-len(bits) // 2),
        ),
        row(Opcode.MATMUL, taps=0, slice_count=1, weight_vectors=1023, patch_vectors=1020, **pixels),
        row(Opcode.EPILOGUE, kind=3, destination=mask * MASK_BITS, parameters=base, **pixels),
    ]


def load_table(image: Image, table: int, entries: list[int]) -> Row:
    """A row that fills an index table."""
    address = image.add(np.array(entries, "<u2"))
    beats = -(-len(entries) // 8)
    return row(
        Opcode.LOAD, space=Space.TABLE, dram_address=address, address=table, rows=1, row_beats=beats, count=len(entries)
    )


@dataclass(frozen=True)
class Compiled:
    """The program of a case and where its results lie in the scratchpad."""

    program: Program
    output: tuple[int, int]
    pooled: tuple[int, int]


def compile_case(case: Case, data: Data, page_size: int | None = None) -> Compiled:
    """Lay the case out and emit its instructions, one after the other."""
    arch, image, rows = case.arch, Image(), []
    sizes = [data.source.size, data.before.size, data.pooled_before.size]
    source = 32
    output = source + -(-sizes[0] // 16) * 16 + 16
    pooled = output + -(-sizes[1] // 16) * 16 + 32
    for address, array in ((source, data.source), (output, data.before), (pooled, data.pooled_before)):
        beats = -(-array.size // 16)
        piece = image.add(array)
        rows.append(row(Opcode.LOAD, dram_address=piece, address=address, rows=1, row_beats=beats))
    tile_table = filter_table = channel_table = NO_TABLE
    source_mask = NO_MASK
    if case.tiles_on is not None:
        tile_table = TILES
        rows.append(
            load_table(image, TILES, [t // case.grid[1] << COORDINATE_BITS | t % case.grid[1] for t in case.tiles_on])
        )
    if case.filters_on is not None:
        filter_table = FILTERS
        rows.append(load_table(image, FILTERS, list(case.filters_on)))
    if case.channels_on is not None:
        channel_table = CHANNELS
        rows.append(load_table(image, CHANNELS, list(case.channels_on)))
    if case.source_on is not None:
        source_mask = SOURCE
        bits = np.isin(np.arange(case.source_grid[0] * case.source_grid[1]), case.source_on)
        rows += set_mask(arch, image, SOURCE, bits)
    rows.append(
        row(
            Opcode.LOAD,
            space=Space.PARAMETERS,
            dram_address=image.add(parameters(data.entries)),
            address=10,
            rows=1,
            row_beats=-(-len(data.entries) // 2),
        )
    )
    active, vectors = data.source.shape[2], case.filters + -case.filters % 4
    reduction = case.kernel**2 * active
    rows.append(_load_weights(case, data, image, vectors))
    patch_vectors = case.tiles_at_once * case.tile**2
    patch_vectors += -patch_vectors % 4
    operand = {
        "patch_vectors": patch_vectors,
        "channels": active if channel_table == NO_TABLE else 0,
        "channel_table": channel_table,
    }
    grid_tiles = case.grid[0] * case.grid[1]
    for first_tile in range(0, grid_tiles, case.tiles_at_once):
        tiles = {
            "tile": case.tile,
            "tile_table": tile_table,
            "first_tile": first_tile,
            "tile_count": min(case.tiles_at_once, grid_tiles - first_tile),
        }
        rows.append(
            row(
                Opcode.GATHER,
                source=source,
                patch_base=3,
                height=case.height,
                width=case.width,
                kernel_height=case.kernel,
                kernel_width=case.kernel,
                stride=case.stride,
                padding_y=case.padding,
                padding_x=case.padding,
                out_width=case.out_width,
                source_mask=source_mask,
                source_tile=case.source_tile,
                source_grid=case.source_grid[1],
                **operand,
                **tiles,
            )
        )
        for first_pixel in range(0, tiles["tile_count"] * case.tile**2, case.pixels_at_once):
            for first_filter in range(0, case.filters, case.filters_at_once):
                work = {
                    "first_pixel": first_pixel,
                    "pixel_count": case.pixels_at_once,
                    "first_filter": first_filter,
                    "filter_count": min(case.filters_at_once, case.filters - first_filter),
                    "filter_table": filter_table,
                    "stationary": int(case.pixels_stand),
                    "accumulator": 7,
                    "bank": (first_pixel + first_filter) % 2,
                    **tiles,
                }
                for first_slice in range(0, slices_of(arch, reduction), case.slices_at_once):
                    rows.append(
                        row(
                            Opcode.MATMUL,
                            patch_base=3 + first_slice * patch_vectors // 4,
                            weight_base=5 + first_slice * vectors // 4,
                            weight_vectors=vectors,
                            taps=case.kernel**2,
                            first_slice=first_slice,
                            slice_count=case.slices_at_once,
                            accumulate=int(first_slice > 0),
                            **operand,
                            **work,
                        )
                    )
                rows.append(
                    row(
                        Opcode.EPILOGUE,
                        destination=output,
                        out_height=case.out_height,
                        out_width=case.out_width,
                        channels=case.filters,
                        compact=int(case.compact),
                        parameters=11,
                        residual=int(case.residual),
                        relu=int(case.relu),
                        pool=int(case.pool),
                        pool_address=pooled,
                        grid_width=case.grid[1],
                        **work,
                    )
                )
    program = make_program(arch, in_sequence(rows), image, page_size=page_size)
    return Compiled(program, (output, sizes[1]), (pooled, sizes[2]))


def _load_weights(case: Case, data: Data, image: Image, vectors: int) -> Row:
    if case.by_reduction:
        tap_beats = -(-vectors // 16)
        padded = np.zeros((vectors, *data.weights.shape[1:]), np.int8)
        padded[: case.filters] = data.weights
        return row(
            Opcode.LOAD,
            space=Space.WEIGHTS_BY_REDUCTION,
            dram_address=image.add(by_reduction(padded)),
            address=5,
            rows=case.channels,
            row_beats=case.kernel**2 * tap_beats,
            row_stride=case.kernel**2 * tap_beats * 16,
            row_table=NO_TABLE if case.channels_on is None else CHANNELS,
            vectors=vectors,
            taps=case.kernel**2,
        )
    reduction = case.kernel**2 * case.channels
    beats = beats_of_vector(case.arch, reduction)
    return row(
        Opcode.LOAD,
        space=Space.WEIGHTS_BY_VECTOR,
        dram_address=image.add(by_vector(case.arch, data.weights.reshape(case.filters, reduction))),
        address=5,
        rows=case.filters,
        row_beats=beats,
        row_stride=beats * 16,
        vectors=vectors,
        count=slices_of(case.arch, reduction),
    )
