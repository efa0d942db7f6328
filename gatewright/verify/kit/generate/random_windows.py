"""Random windows, sums in two digits, and bands of rows, for the random networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Stationary, Unit
from gatewright.verify.kit.generate.builder import Map
from gatewright.verify.kit.generate.layers import Layer, emit_conv
from gatewright.verify.kit.generate.operands import parameters
from gatewright.verify.kit.generate.oracle import conv_sums, conv_values
from gatewright.verify.kit.generate.windows import Windows, emit_windows, window_values

if TYPE_CHECKING:
    from gatewright.verify.kit.generate.random_programs import Network

FEW_VALUES = 6000
"""Places read by the windows of a program, at most: each is a cycle."""


def random_windows(network: Network, height: int, width: int, kind: EpilogueKind | None = None) -> Windows:
    """Windows for a map: often of one pixel, often far beyond the map, cut into instructions in any way."""
    rng = network.rng
    kinds = (EpilogueKind.MAX, EpilogueKind.AVERAGE, EpilogueKind.DIGITS)
    kind = kinds[int(rng.integers(3))] if kind is None else kind
    most = 11 if kind == EpilogueKind.DIGITS else 31
    if rng.integers(10):
        most = min(most, 2 + max(height, width))
    window = int(rng.choice([1, 2, 3, int(rng.integers(1, most + 1))]))
    plain = kind == EpilogueKind.MAX and rng.integers(2)
    scaled = (0, int(rng.integers(20000, 65536)), int(15 + 2 * np.log2(window) * (kind == EpilogueKind.AVERAGE)))
    columns = network.arch.columns
    return Windows(
        kind,
        window,
        step=int(rng.choice([1, 2, 3, window, int(rng.integers(1, 32))])),
        inset=int(min(15, rng.choice([0, window // 2, window - 1, int(rng.integers(window))]))),
        entry=(0, 2, 1) if plain else scaled,
        channel_split=int(rng.choice([1, columns, columns + 1, 1000])),
        pixel_split=int(rng.choice([1, 7, 1000])),
        beyond=int(rng.integers(4)),
    )


def shape_of(network: Network, source: Map, windows: Windows) -> tuple[int, int]:
    """Rows and columns of the windows' map: all that touch the source and sometimes more, or fewer."""
    height, width, channels = source.values.shape
    ends = [-(-(size + windows.inset) // windows.step) for size in (height, width)]
    out_height, out_width = (max(1, end + int(network.rng.integers(-1, 2))) for end in ends)
    while out_height * out_width * channels * windows.window**2 > FEW_VALUES and out_height * out_width > 1:
        out_height, out_width = max(1, out_height // 2), max(1, out_width // 2)
    return out_height, out_width


def pooling_entry(network: Network, windows: Windows) -> int:
    """LOAD the parameter entry of windows, and return its number."""
    raw = parameters([windows.entry])
    first = network.build.parameter_room(len(raw) // PARAMETER_BYTES)
    network.build.emit(
        Opcode.LOAD,
        dram_address=network.build.image.add(raw),
        space=Space.PARAMETERS,
        address=first,
        rows=1,
        row_beats=len(raw) // BEAT_BYTES,
    )
    return first


def windowed(network: Network, source: Map, kind: EpilogueKind | None = None) -> Map:
    """A map of random windows of ``source``; with DIGITS its columns are twice as many."""
    height, width, channels = source.values.shape
    windows = random_windows(network, height, width, kind)
    out_height, out_width = shape_of(network, source, windows)
    entry = pooling_entry(network, windows)
    target = network.output(out_height, out_width * (1 + windows.digits), channels, preset=True)
    loaded = network.build.mark(Unit.LOAD)
    target.ready = [emit_windows(network.build, source, windows, entry, target, [loaded])]
    target.values = window_values(source.values, windows, out_height, out_width)
    network.checks.append((target.address, target.values))
    network.settle()
    return target


def summed(network: Network, source: Map) -> Map | None:
    """The digits of the sums of all pixels, [1, 2, channels]; None if one window does not hold the map."""
    rng, (height, width, channels) = network.rng, source.values.shape
    if max(height, width) > 11:
        return None
    window = int(rng.integers(max(height, width), 12))
    inset = int(rng.integers(min(window - max(height, width), 15) + 1))
    windows = Windows(EpilogueKind.DIGITS, window, int(rng.integers(1, 32)), inset)
    windows.channel_split = int(rng.choice([1, 5, 1000]))
    target = network.output(1, 2, channels, preset=True)
    target.ready = [emit_windows(network.build, source, windows, 0, target, [network.build.mark(Unit.LOAD)])]
    target.values = window_values(source.values, windows, 1, 1)
    network.checks.append((target.address, target.values))
    network.hold()
    return target


def tall(rng: np.random.Generator, largest: int) -> tuple[int, int]:
    """Rows and columns of a map with more rows than the rings of its bands hold."""
    return int(rng.integers(largest, 2 * largest + 3)), int(rng.integers(1, max(2, largest // 2)))


def banded(network: Network, source: Map) -> Map:
    """A convolution into a ring of rows, a second one added to it there, and a reader of the ring, row by row."""
    rng, (height, width, channels) = network.rng, source.values.shape
    kernel = network.kernel(height, width)
    count = int(rng.integers(1, 10))
    first, second = (network.filters(count, kernel, channels) for _ in range(2))
    shape = conv_sums(source.values, first.weights, 1, max(kernel) // 2).shape
    middle = Map(0, np.zeros(shape, np.int8))
    layers = [_row_layer(network, kernel, shape[1], count, channels, residual) for residual in (False, True)]
    layers[1].tile = layers[0].tile
    middle.values = conv_values(source.values, first, layers[0], middle.values)
    middle.values = conv_values(source.values, second, layers[1], middle.values)
    return _read_ring(network, source, middle, list(zip((first, second), layers, strict=True)))


def _row_layer(
    network: Network, kernel: tuple[int, int], width: int, count: int, channels: int, residual: bool
) -> Layer:
    """How the rows of a band are made: tile row by tile row, in parts that fit."""
    rng = network.rng
    layer = Layer(padding=max(kernel) // 2, relu=bool(rng.integers(2)), residual=residual)
    layer.tile, layer.chunk_tiles = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    layer.gather_slices = int(rng.choice([1, 2, 1000]))
    if not residual and rng.integers(2):
        layer.stationary = (Stationary.PIXELS,)
    network.fit(layer, (count, *kernel, channels))
    return layer


def _read_ring(network: Network, source: Map, middle: Map, made: list[tuple]) -> Map:  # type: ignore[type-arg]
    """Make ``middle`` in a ring as a reader needs its rows; the reader is a convolution, or windows."""
    rng, (height, width, channels) = network.rng, middle.values.shape
    tile = made[0][1].tile
    if rng.integers(2):
        windows = random_windows(network, height, width)
        windows.beyond = 0
        out_height, out_width = shape_of(network, middle, windows)
        windows.pixel_split = max(1, out_width // int(rng.integers(1, 3)))
        entry = pooling_entry(network, windows)
        step, before, edge, rows_of_reader = windows.step, windows.inset, windows.window, 1
        values = window_values(middle.values, windows, out_height, out_width)
    else:
        kernel = network.kernel(height, width)
        filters = network.filters(int(rng.integers(1, 10)), kernel, channels)
        reader = _row_layer(network, kernel, width, len(filters.weights), channels, False)
        reader.stride = int(rng.integers(1, 3))
        plain = conv_sums(middle.values, filters.weights, reader.stride, reader.padding)
        out_height, out_width, _ = plain.shape
        step, before, edge, rows_of_reader = reader.stride, reader.padding, kernel[0], reader.tile
        windows = None
        values = conv_values(middle.values, filters, reader, np.zeros(plain.shape, np.int8))
    rows, columns, count = values.shape
    target = network.output(rows, columns, count, preset=True)
    need = min(height, (rows_of_reader - 1) * step + edge)
    middle.ring = need + tile - 1 + int(rng.integers(2))
    middle.address = network.build.room(middle.ring * width * channels, int(rng.integers(16)))
    network.build.emit(Opcode.EXIT, [network.build.mark(Unit.LOAD)])
    done = 0
    for first in range(0, out_height, rows_of_reader):
        end = min(out_height, first + rows_of_reader)
        behind = min(height, (end - 1) * step - before + edge)
        while done * tile < behind:
            for filters_of_row, layer in made:
                layer.tile_rows = (done, done + 1)
                emit_conv(network.build, source, filters_of_row, layer, middle, [*source.ready, *middle.ready])
            done += 1
        if windows is not None:
            emit_windows(network.build, middle, windows, entry, target, [], (first, end))
        else:
            reader.tile_rows = (first // reader.tile, first // reader.tile + 1)
            emit_conv(network.build, middle, filters, reader, target, [*middle.ready, *target.ready])
        # What is written next into the ring may lie over what was read.
        middle.ready = [network.build.mark(Unit.GATHER), network.build.mark(Unit.EPILOGUE)]
    target.values, target.ready = values, [network.build.mark(Unit.EPILOGUE)]
    network.checks.append((target.address, target.values))
    network.settle()
    return target
