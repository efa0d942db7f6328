"""The program of a random gated convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import NO_MASK, NO_TABLE, Opcode, Space
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.operands import beats_of_vector, by_reduction, by_vector, parameters, slices_of
from gatewright.verify.kit.programs import Image, Row, in_sequence, make_program, row
from tests.sim.fast.convolution_case import CHANNELS, FILTERS, SOURCE, TILES, Case, Data


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
