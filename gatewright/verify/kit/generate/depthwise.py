"""Depthwise convolutions on the machine (EPILOGUE's kind DEPTHWISE), and what they must leave."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import NO_TABLE, EpilogueKind, Opcode, Unit
from gatewright.verify.kit.generate.builder import Builder, Int8, Map, Mark
from gatewright.verify.kit.generate.oracle import scale


@dataclass
class Depthwise:
    """A depthwise convolution of ``kernel`` [channel, window, window], and how the work is cut into instructions."""

    kernel: Int8
    entries: list[tuple[int, int, int]]
    """(bias, multiplier, shift) of each channel."""
    step: int = 1
    inset: int = 0
    relu: bool = False
    tile: int = 2
    tiles: list[tuple[int, int]] | None = None
    """Those that are computed, as their table has them; without, all."""
    tile_table: int = NO_TABLE
    channels: list[int] | None = None
    """The channels that are there, as their table has them: both maps are compact. Without, all."""
    filter_table: int = NO_TABLE
    chunk_tiles: int = 1000
    pixel_split: int = 1023
    channel_split: int = 8191
    waits: list[Mark] = field(default_factory=list)

    @property
    def window(self) -> int:
        return self.kernel.shape[1]

    @property
    def listed(self) -> list[int]:
        """The channels of the maps."""
        return list(range(len(self.kernel))) if self.channels is None else self.channels


def channel_entries(depthwise: Depthwise) -> bytes:
    """The parameter entries: of each channel the kernel's rows, two and one, what any filter has, and 8 bytes."""
    raw = b""
    for kernel, (bias, multiplier, shift) in zip(depthwise.kernel, depthwise.entries, strict=True):
        rows = [bytes(3 - depthwise.window) + row.tobytes() for row in kernel]
        rows += [b"\x55\xaa\x55"] * (3 - len(rows))
        raw += rows[0] + rows[1] + b"\xaa\x55" + rows[2] + b"\x99" * 5
        raw += struct.pack("<iHBx", bias, multiplier, shift) + b"\x77" * 8
    return raw + bytes(-len(raw) % BEAT_BYTES)


def emit_depthwise(build: Builder, source: Map, depthwise: Depthwise, parameter: int, target: Map) -> Mark:
    """``source`` convolved into ``target``; all instructions wait for both maps, and for the convolution's waits."""
    height, width, stored = source.values.shape
    out_height, out_width, _ = target.values.shape
    tile = depthwise.tile
    grid = -(-out_height // tile) * -(-out_width // tile)
    tiles = grid if depthwise.tiles is None else len(depthwise.tiles)
    waits = [*source.ready, *target.ready, *depthwise.waits]
    build.hold_epilogue(waits)
    for first_filter in range(0, stored, depthwise.channel_split):
        for chunk in range(0, tiles, depthwise.chunk_tiles):
            chunk_tiles = min(depthwise.chunk_tiles, tiles - chunk)
            for first in range(0, chunk_tiles * tile**2, depthwise.pixel_split):
                build.emit(
                    Opcode.EPILOGUE,
                    waits,
                    kind=EpilogueKind.DEPTHWISE,
                    destination=target.address,
                    out_height=out_height,
                    out_width=out_width,
                    # With a compact map the number says nothing.
                    channels=len(depthwise.kernel),
                    compact=int(depthwise.filter_table != NO_TABLE),
                    tile=tile,
                    tile_table=depthwise.tile_table,
                    first_tile=chunk,
                    tile_count=chunk_tiles,
                    first_pixel=first,
                    pixel_count=depthwise.pixel_split,
                    first_filter=first_filter,
                    filter_count=min(depthwise.channel_split, stored - first_filter),
                    filter_table=depthwise.filter_table,
                    parameters=parameter,
                    relu=int(depthwise.relu),
                    source=source.address,
                    source_height=height,
                    source_width=width,
                    window=depthwise.window,
                    step=depthwise.step,
                    inset=depthwise.inset,
                )
    return build.mark(Unit.EPILOGUE)


def depthwise_values(source: Int8, depthwise: Depthwise, before: Int8) -> Int8:
    """[y, x, channel] of the output map, from the output map before: place by place, from the machine's page."""
    height, width, _ = source.shape
    result, tile = before.copy(), depthwise.tile
    for y, x in np.ndindex(*before.shape[:2]):
        if depthwise.tiles is not None and (y // tile, x // tile) not in depthwise.tiles:
            continue
        for place, channel in enumerate(depthwise.listed):
            total, multiplier, shift = depthwise.entries[channel]
            for dy, dx in np.ndindex(depthwise.window, depthwise.window):
                at = y * depthwise.step - depthwise.inset + dy, x * depthwise.step - depthwise.inset + dx
                if 0 <= at[0] < height and 0 <= at[1] < width:
                    total += int(source[at][place]) * int(depthwise.kernel[channel, dy, dx])
            value = scale(total, multiplier, shift)
            result[y, x, place] = max(0 if depthwise.relu else -128, min(127, value))
    return result
