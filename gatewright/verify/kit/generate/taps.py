"""A spatial gate by 1x1 filters, one for each place of its kernel, and EPILOGUE's kind TAPS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import EpilogueKind, Opcode, Stationary, Unit
from gatewright.verify.kit.generate.builder import Builder, Filters, Int8, Map, Mark, up
from gatewright.verify.kit.generate.layers import entries, gather_pixels
from gatewright.verify.kit.generate.operands import slices_of


@dataclass(frozen=True)
class Taps:
    """How windows lie on the map, how large the grid of bits is, and how TAPS is cut into instructions."""

    window: int
    step: int
    inset: int
    height: int
    width: int
    pixel_split: int = 1023
    beyond: int = 0
    """Bits that the last instruction covers below the grid."""


def fit(build: Builder, source: Map, window: int) -> bool:
    """Whether a map's pixels fit the patch buffer and an accumulator bank at once."""
    height, width, channels = source.values.shape
    slices, pixels = slices_of(build.arch, channels), height * width
    room = entries(build.arch, Stationary.FILTERS, pixels, window**2) <= build.arch.accumulator_depth
    return room and slices * up(pixels, 4) <= build.arch.patch_words


def emit_taps(build: Builder, source: Map, filters: Filters, taps: Taps, destination: int, waits: list[Mark]) -> Mark:
    """The product of every pixel with ``filters`` [window * window, 1, 1, channels], then a bit for each window.

    They lie from ``destination`` on. The bias is that of filter 0.
    """
    height, width, channels = source.values.shape
    pixels, slices = height * width, slices_of(build.arch, channels)
    tiles = {"tile": 1, "tile_count": pixels}
    patch = {"patch_base": build.patch_room(slices * up(pixels, 4)), "patch_vectors": up(pixels, 4)}
    place = {
        "accumulator": build.accumulator_room(pixels),
        "bank": build.banks()[0],
    }
    build.hold_epilogue([*filters.ready, *waits])
    gathered = gather_pixels(build, source, 1, waits, {"slice_count": 1000} | patch | tiles)
    multiplied = build.emit(
        Opcode.MATMUL,
        [gathered, *filters.ready, build.mark(Unit.EPILOGUE)],
        weight_base=filters.base // 4,
        weight_vectors=filters.vectors,
        taps=1,
        channels=channels,
        slice_count=1000,
        pixel_count=pixels,
        filter_count=taps.window**2,
        stationary=Stationary.FILTERS,
        **place,
        **patch,
        **tiles,
    )
    end = taps.height * taps.width + taps.beyond
    for first in range(0, end, taps.pixel_split):
        count, skipped = min(taps.pixel_split, end - first), min(first, first % 3)
        build.emit(
            Opcode.EPILOGUE,
            [multiplied],
            kind=EpilogueKind.TAPS,
            destination=destination,
            out_height=taps.height,
            out_width=taps.width,
            channels=1,
            tile=1,
            first_tile=first - skipped,
            tile_count=count + skipped,
            first_pixel=skipped,
            pixel_count=count,
            filter_count=1,
            parameters=filters.parameter,
            bank=place["bank"],
            source=place["accumulator"],
            source_height=height,
            source_width=width,
            window=taps.window,
            step=taps.step,
            inset=taps.inset,
        )
    return build.mark(Unit.EPILOGUE)


def tap_sums(source: Int8, weights: Int8, taps: Taps) -> npt.NDArray[np.int64]:
    """[y, x]: the sums over the windows of pixel times the filter of its place, without the bias."""
    height, width, _ = source.shape
    sums = np.zeros((taps.height, taps.width), np.int64)
    for y, x, dy, dx in np.ndindex(taps.height, taps.width, taps.window, taps.window):
        row, column = y * taps.step - taps.inset + dy, x * taps.step - taps.inset + dx
        if 0 <= row < height and 0 <= column < width:
            tap = weights[dy * taps.window + dx, 0, 0].astype(np.int64)
            sums[y, x] += int(source[row, column].astype(np.int64) @ tap)
    return sums
