"""Windows of a map on the machine (EPILOGUE's kinds MAX, AVERAGE and DIGITS), and what they must leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gatewright.contract.isa import EpilogueKind, Opcode, Unit
from gatewright.verify.kit.generate.builder import Builder, Int8, Map, Mark
from gatewright.verify.kit.generate.oracle import scale


@dataclass
class Windows:
    """How windows lie on a map, and how the work is cut into instructions."""

    kind: EpilogueKind
    window: int
    step: int
    inset: int = 0
    entry: tuple[int, int, int] = (0, 2, 1)
    """(bias, multiplier, shift) of the pooling; the default changes nothing."""
    channel_split: int = 8191
    pixel_split: int = 1023
    beyond: int = 0
    """Output pixels that the last instruction covers below the map."""

    @property
    def digits(self) -> bool:
        return self.kind == EpilogueKind.DIGITS


def emit_windows(
    build: Builder,
    source: Map,
    windows: Windows,
    parameter: int,
    target: Map,
    waits: list[Mark],
    rows: tuple[int, int] | None = None,
) -> Mark:
    """Windows of ``source`` into ``target`` (two pixels a window with DIGITS), or into some of its rows.

    ``parameter`` is the entry of the pooling. All instructions wait for both maps and for ``waits``.
    """
    height, width, channels = source.values.shape
    out_height, out_width, _ = target.values.shape
    out_width //= 2 if windows.digits else 1
    first_row, end_row = rows or (0, out_height)
    end = end_row * out_width + windows.beyond
    for first_filter in range(0, channels, windows.channel_split):
        for first in range(first_row * out_width, end, windows.pixel_split):
            count = min(windows.pixel_split, end - first)
            low = max(0, first // out_width * windows.step - windows.inset)
            high = (first + count - 1) // out_width * windows.step - windows.inset + windows.window
            address, wrap = source.rows(low, max(low, min(height, high)))
            skipped = first % 3
            build.emit(
                Opcode.EPILOGUE,
                [*source.ready, *target.ready, *waits],
                kind=windows.kind,
                destination=target.address,
                out_height=out_height,
                out_width=out_width,
                channels=channels,
                tile=1,
                first_tile=first - min(first, skipped),
                tile_count=count + min(first, skipped),
                first_pixel=min(first, skipped),
                pixel_count=count,
                first_filter=first_filter,
                filter_count=min(windows.channel_split, channels - first_filter),
                parameters=parameter + 1,
                source=address,
                source_height=height,
                source_width=width,
                window=windows.window,
                step=windows.step,
                inset=windows.inset,
                **wrap,
            )
    return build.mark(Unit.EPILOGUE)


def window_values(source: Int8, windows: Windows, out_height: int, out_width: int) -> Int8:
    """[y, x, channel] of the output map, [y, 2 x, channel] with DIGITS: place by place, from the machine's page."""
    largest = windows.kind == EpilogueKind.MAX
    height, width, channels = source.shape
    result = np.zeros((out_height, out_width, channels), np.int64)
    for y, x in np.ndindex(out_height, out_width):
        values = []
        for dy, dx in np.ndindex(windows.window, windows.window):
            at = y * windows.step - windows.inset + dy, x * windows.step - windows.inset + dx
            if 0 <= at[0] < height and 0 <= at[1] < width:
                values.append(source[at].astype(np.int64))
            else:
                values.append(np.full(channels, -128 if largest else 0, np.int64))
        result[y, x] = np.max(values, axis=0) if largest else np.sum(values, axis=0)
    if windows.digits:
        both = np.stack([np.floor_divide(result, 128), result % 128], axis=2)
        return both.reshape(out_height, 2 * out_width, channels).astype(np.int8)
    _, multiplier, shift = windows.entry
    scaled = [max(-128, min(127, scale(int(value), multiplier, shift))) for value in result.ravel()]
    return np.array(scaled, np.int8).reshape(result.shape)
