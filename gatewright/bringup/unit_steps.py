"""Steps of the self-test for the units' ways that the memories' steps do not take."""

from __future__ import annotations

import numpy as np

from gatewright.bringup.instructions import gather, load_filters, load_parameters, product, write
from gatewright.bringup.memory_steps import odd
from gatewright.bringup.script import Script
from gatewright.contract.arch import BEAT_BYTES, MASK_BITS, MASKS
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Stationary

EDGE, CHANNELS, TILE = 8, 8, 4
"""The layer's map: EDGE x EDGE pixels of CHANNELS bytes, in tiles of TILE x TILE."""


def masks(script: Script, rng: np.random.Generator) -> None:
    """Every bit of every mask, and its complement: signs by THRESHOLD, a list by INDEX, parameters that the list picks.

    On a machine with few parameters so many bits as it has parameters for.
    """
    arch = script.arch
    half = arch.scratchpad_bytes // 2
    most = min(MASK_BITS, arch.table_entries, half, arch.accumulator_depth * arch.columns, arch.weight_words)
    most = min(most, (arch.parameter_entries - MASKS) // 2) // 4 * 4
    bits = MASK_BITS if arch.parameter_entries >= most + MASKS + MASK_BITS else most
    script.load(Space.SCRATCHPAD, script.data(np.zeros(arch.rows, np.int8)), arch.rows)
    gather(script, 0, 1, arch.rows, 4)
    load_filters(script, odd(rng, (most, 1, arch.rows)), most)
    product(script, 1, most, arch.rows, (4, most))  # of zeros: what is left is the parameters' own
    signs = np.where(rng.integers(0, 2, most + MASKS), 1, -1)
    values = rng.integers(-64, 64, bits) * 2
    parts = [(first, min(most, bits - first)) for first in range(0, bits, most)]
    for word, sign in (("", 1), (".complement", -1)):
        load_parameters(script, np.concatenate([sign * signs, values]), 1, 1)
        for mask in range(MASKS):  # each begins at another entry, so that no two are alike
            for first, count in parts:
                write(script, EpilogueKind.THRESHOLD, mask * MASK_BITS + first, 1, count, parameters=mask)
        for mask in range(MASKS):
            for first, count in parts:
                script.emit(Opcode.INDEX, mask=mask, bits=first + count, first_bit=first, table=0)
                write(script, EpilogueKind.STORE, half, 1, count, filter_table=0, parameters=len(signs))
                script.store(f"masks.{mask}.{first}{word}", half, count)


def layer(script: Script, rng: np.random.Generator) -> None:
    """A convolution of the tiles and filters that two gates list, with residual, ReLU and averages, then a max pool.

    Both operands stand once. Of a DEPTHWISE machine a 3x3 kernel over the result, too.
    """
    arch = script.arch
    filters = min(arch.columns, 8)
    region, taps, grid = -(-filters // 4) * 4, 9, EDGE // TILE
    reduction = taps * CHANNELS
    slices = -(-reduction // arch.rows)
    source, result, pooled, other = (n * arch.scratchpad_bytes // 8 for n in (0, 2, 4, 5))
    size = EDGE * EDGE * filters
    image = rng.integers(-128, 128, EDGE * EDGE * CHANNELS, np.int8)
    script.load(Space.SCRATCHPAD, script.data(image), len(image), source)
    residual = script.data(rng.integers(-128, 128, size, np.int8))
    script.load(Space.SCRATCHPAD, residual, size, result)
    weights = np.zeros((filters, slices * arch.rows), np.int8)
    weights[:, :reduction] = odd(rng, (filters, reduction))
    load_filters(script, weights.reshape(filters, slices, arch.rows), region)
    # Entry 0 is the averages', the filters' begin behind it; the last ones hold the depthwise weights.
    bias, multiplier = rng.integers(-20_000, 20_000, filters + 1), rng.integers(20_000, 60_000, filters + 1)
    load_parameters(script, np.concatenate([bias, bias]), np.tile(multiplier, 2), 23)
    tiles = np.array([0, 0x0001, 0x0101], "<u2")
    chosen = np.arange(filters - 1, 0, -2).astype("<u2")[::-1]
    for table, numbers in ((0, tiles), (1, np.ascontiguousarray(chosen))):
        script.emit(
            Opcode.LOAD,
            space=Space.TABLE,
            dram_address=script.data(numbers),
            address=table,
            rows=1,
            row_beats=1,
            row_stride=BEAT_BYTES,
            count=len(numbers),
        )
    pixels = len(tiles) * TILE * TILE
    patches = -(-pixels // 4) * 4
    listed = {"tile": TILE, "tile_table": 0, "tile_count": grid * grid, "pixel_count": patches}
    map_of = {"out_height": EDGE, "out_width": EDGE, "channels": filters, "parameters": 1}
    script.emit(
        Opcode.GATHER,
        source=source,
        height=EDGE,
        width=EDGE,
        channels=CHANNELS,
        kernel_height=3,
        kernel_width=3,
        stride=1,
        padding_y=1,
        padding_x=1,
        out_width=EDGE,
        tile=TILE,
        tile_table=0,
        tile_count=grid * grid,
        patch_vectors=patches,
        slice_count=slices,
    )
    convolution = {"taps": taps, "slice_count": slices, **listed}
    product(script, pixels, filters, CHANNELS, (patches, region), **convolution)
    write(
        script,
        EpilogueKind.STORE,
        result,
        pixels,
        filters,
        residual=1,
        relu=1,
        pool=1,
        pool_address=pooled,
        grid_width=grid,
        **{**listed, **map_of},
    )
    script.store("layer.filters_stand", result, size)
    script.store("layer.averages", pooled, grid * grid * filters)
    script.load(Space.SCRATCHPAD, residual, size, result)
    some = {"filter_table": 1, "stationary": Stationary.PIXELS, **listed}
    product(script, pixels, filters, CHANNELS, (patches, region), **{**convolution, **some})
    write(script, EpilogueKind.STORE, result, pixels, filters, **some, **map_of)
    script.store("layer.pixels_stand", result, size)
    places = (EDGE // 2) ** 2
    script.emit(
        Opcode.EPILOGUE,
        kind=EpilogueKind.MAX,
        destination=other,
        out_height=EDGE // 2,
        out_width=EDGE // 2,
        channels=filters,
        tile=1,
        tile_count=places,
        pixel_count=places,
        filter_count=filters,
        parameters=1,
        source=result,
        source_height=EDGE,
        source_width=EDGE,
        window=3,
        step=2,
        inset=1,
    )
    script.store("layer.maximum", other, places * filters)
    if arch.depthwise:
        script.emit(
            Opcode.EPILOGUE,
            kind=EpilogueKind.DEPTHWISE,
            destination=other,
            out_height=EDGE,
            out_width=EDGE,
            channels=filters,
            tile=1,
            tile_count=EDGE * EDGE,
            pixel_count=EDGE * EDGE,
            filter_count=min(filters, 4),
            parameters=0,
            source=result,
            source_height=EDGE,
            source_width=EDGE,
            window=3,
            step=1,
            inset=1,
        )
        script.store("layer.depthwise", other, size)
