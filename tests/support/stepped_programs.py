"""Hand-made layers for the stepped simulator's tests: instructions with their waits, and numpy oracles.

The oracles compute from section 6 of the machine's page and share no code with the simulators.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gatewright.arch import ArchConfig
from gatewright.isa import FORMATS, EpilogueKind, Opcode, Space, Stationary, Unit
from gatewright.program import Program
from tests.support.operands import beats_of_vector, by_reduction, by_vector, parameters, slices_of
from tests.support.programs import Image, Row, make_program, row

Int8 = npt.NDArray[np.int8]
Mark = tuple[Unit, int]
"""A wait: what a unit has counted once an instruction is complete."""


def up(value: int, multiple: int) -> int:
    """``value`` rounded up."""
    return value + -value % multiple


def conv_sums(source: Int8, weights: Int8, stride: int, padding: int) -> npt.NDArray[np.int64]:
    """[y, x, filter] int64 sums of a convolution; ``weights`` are [filter, kh, kw, channel]."""
    filters, kernel_height, kernel_width, _ = weights.shape
    padded = np.pad(source.astype(np.int64), ((padding, padding), (padding, padding), (0, 0)))
    height = (padded.shape[0] - kernel_height) // stride + 1
    width = (padded.shape[1] - kernel_width) // stride + 1
    sums = np.zeros((height, width, filters), np.int64)
    for dy in range(kernel_height):
        for dx in range(kernel_width):
            window = padded[dy : dy + stride * (height - 1) + 1 : stride, dx : dx + stride * (width - 1) + 1 : stride]
            sums += window @ weights[:, dy, dx].astype(np.int64).T
    return sums


def scale(value: int, multiplier: int, shift: int) -> int:
    """Round half up and saturate to int16, in Python integers."""
    return max(-32768, min(32767, (value * multiplier + (1 << (shift - 1))) >> shift))


def finish(
    sums: npt.NDArray[np.int64], entries: list[tuple[int, int, int]], relu: bool, residual: Int8 | None = None
) -> Int8:
    """Sums [..., filter] to int8 with the parameters (bias, multiplier, shift) of each filter."""
    out = np.zeros(sums.shape, np.int8)
    for at in np.ndindex(*sums.shape):
        bias, multiplier, shift = entries[at[-1]]
        value = scale(int(sums[at]) + bias, multiplier, shift) + (0 if residual is None else int(residual[at]))
        out[at] = max(0 if relu else -128, min(127, value))
    return out


def random_parameters(rng: np.random.Generator, count: int, reduction: int) -> list[tuple[int, int, int]]:
    """(bias, multiplier, shift) that spread results over int8, with some saturation."""
    shift = 16 + int(np.log2(max(1, reduction)) / 2) + 5
    return [
        (int(rng.integers(-3000, 3000)), int(rng.integers(20000, 65536)), shift + int(rng.integers(-1, 2)))
        for _ in range(count)
    ]


@dataclass
class Map:
    """A feature map in the scratchpad and its expected contents, [y, x, channel]."""

    address: int
    values: Int8
    ready: list[Mark] = field(default_factory=list)


@dataclass
class Filters:
    """Weights [filter, kh, kw, channel] and parameters in their buffers."""

    weights: Int8
    entries: list[tuple[int, int, int]]
    base: int
    vectors: int
    parameter: int
    ready: list[Mark]


class Builder:
    """Emits instructions in order and knows each unit's count, so that waits are written by mark."""

    def __init__(self, arch: ArchConfig) -> None:
        self.arch = arch
        self.image = Image()
        self.rows: list[Row] = []
        self.counts = dict.fromkeys(Unit, 0)
        self._weight_word = 0
        self._parameter = 0
        self._scratchpad = 0

    def emit(self, opcode: Opcode, waits: list[Mark] | None = None, **fields: int) -> Mark:
        """Append an instruction; only the latest mark of each unit is kept as a wait. Returns its own mark."""
        latest: dict[Unit, int] = {}
        for unit, count in waits or []:
            latest[unit] = max(count, latest.get(unit, 0))
        self.rows.append(row(opcode, list(latest.items()), **fields))
        unit = FORMATS[opcode].unit
        self.counts[unit] += 1
        return unit, self.counts[unit]

    def mark(self, unit: Unit) -> Mark:
        """Everything given to a unit so far."""
        return unit, self.counts[unit]

    def room(self, size: int, odd: int = 0) -> int:
        """A free piece of the scratchpad; ``odd`` bytes off a word."""
        address = self._scratchpad + odd
        self._scratchpad = up(address + size, 16)
        assert self._scratchpad <= self.arch.scratchpad_bytes, "the test's maps do not fit the scratchpad"
        return address

    def load_map(self, values: Int8) -> Map:
        """LOAD a map into the scratchpad."""
        source = self.image.add(values)
        address = self.room(up(values.size, 16))
        beats = up(values.size, 16) // 16
        mark = self.emit(
            Opcode.LOAD, dram_address=source, space=Space.SCRATCHPAD, address=address, rows=1, row_beats=beats
        )
        return Map(address, values, [mark])

    def load_filters(self, weights: Int8, entries: list[tuple[int, int, int]], reduction_rows: bool) -> Filters:
        """LOAD weights, by reduction or by vector, and parameters (entry 0 of ``entries`` is the pooling's)."""
        filters, kernel_height, kernel_width, channels = weights.shape
        taps = kernel_height * kernel_width
        vectors, slices = up(filters, 4), slices_of(self.arch, taps * channels)
        base = self._weight_word
        self._weight_word += up(vectors * slices, 4)
        if reduction_rows:
            beats = taps * -(-filters // 16)
            source = self.image.add(by_reduction(weights.reshape(filters, taps, channels)))
            fields = {"space": Space.WEIGHTS_BY_REDUCTION, "rows": channels, "taps": taps}
        else:
            beats = beats_of_vector(self.arch, taps * channels)
            source = self.image.add(by_vector(self.arch, weights.reshape(filters, -1)))
            fields = {"space": Space.WEIGHTS_BY_VECTOR, "rows": filters, "count": slices}
        self.emit(
            Opcode.LOAD,
            dram_address=source,
            address=base // 4,
            row_beats=beats,
            row_stride=16 * beats,
            vectors=vectors,
            **fields,
        )
        raw = parameters(entries)
        first = self._parameter
        self._parameter += len(raw) // 8
        mark = self.emit(
            Opcode.LOAD,
            dram_address=self.image.add(raw),
            space=Space.PARAMETERS,
            address=first,
            rows=1,
            row_beats=len(raw) // 16,
        )
        return Filters(weights, entries, base, vectors, first + 1, [mark])

    def load_table(self, table: int, entries: list[int]) -> Mark:
        """LOAD an index table."""
        raw = np.array(entries, "<u2").tobytes() + bytes(-2 * len(entries) % 16)
        source = self.image.add(raw)
        return self.emit(
            Opcode.LOAD,
            dram_address=source,
            space=Space.TABLE,
            address=table,
            rows=1,
            row_beats=len(raw) // 16,
            count=len(entries),
        )

    def hold_epilogue(self, waits: list[Mark]) -> None:
        """An EPILOGUE without work: the next one's preload, which looks at no waits, comes after ``waits``."""
        self.emit(Opcode.EPILOGUE, waits, tile=1)

    def store(self, address: int, size: int, waits: list[Mark]) -> int:
        """STORE whole beats to a new place in the image; returns its address."""
        target = self.image.reserve(up(size, 16))
        self.emit(Opcode.STORE, waits, dram_address=target, address=address, beats=up(size, 16) // 16)
        return target

    def program(self, output: tuple[int, int] = (0, 0), page_size: int | None = None) -> Program:
        """The program so far."""
        return make_program(self.arch, self.rows, self.image, output_region=output, page_size=page_size)


@dataclass
class Layer:
    """How a convolution is cut: see ``emit_conv``."""

    stride: int = 1
    padding: int = 1
    relu: bool = True
    tile: int = 1
    chunk_tiles: int = 4
    tiles: list[tuple[int, int]] | None = None
    tile_table: int = 15
    pixel_split: int = 1000
    slice_split: int = 1000
    filter_split: int = 4000
    stationary: tuple[Stationary, ...] = (Stationary.FILTERS,)
    filter_table: int = 15
    filter_list: list[int] | None = None
    compact: bool = False
    residual: bool = False
    pool_address: int | None = None
    source_mask: dict[str, int] = field(default_factory=dict)


def emit_conv(build: Builder, source: Map, filters: Filters, layer: Layer, target: Map, extra: list[Mark]) -> None:
    """A convolution in chunks of tiles, pixels, filters and slices, with every wait that it needs.

    ``target.values`` gives the output's shape; its contents are the oracle's business.
    """
    height, width, channels = source.values.shape
    count, kernel_height, kernel_width, _ = filters.weights.shape
    out_height, out_width, stored = target.values.shape
    grid = (-(-out_height // layer.tile), -(-out_width // layer.tile))
    total = grid[0] * grid[1] if layer.tiles is None else len(layer.tiles)
    reduction = kernel_height * kernel_width * channels
    slices = slices_of(build.arch, reduction)
    chosen = len(layer.filter_list) if layer.filter_list is not None else count
    build.hold_epilogue([*filters.ready, *extra, *target.ready])
    bank, bank_free, number = 0, [build.mark(Unit.EPILOGUE)] * 2, 0
    for first_tile in range(0, max(1, total), layer.chunk_tiles):
        tiles = {
            "tile": layer.tile,
            "tile_table": layer.tile_table,
            "first_tile": first_tile,
            "tile_count": min(layer.chunk_tiles, total - first_tile),
        }
        vectors = up(tiles["tile_count"] * layer.tile**2, 4)
        patch = {"patch_base": 0, "patch_vectors": vectors}
        gathered = build.emit(
            Opcode.GATHER,
            [*source.ready, build.mark(Unit.ARRAY), *extra],
            source=source.address,
            height=height,
            width=width,
            channels=channels,
            kernel_height=kernel_height,
            kernel_width=kernel_width,
            stride=layer.stride,
            padding=layer.padding,
            out_width=out_width,
            **patch,
            **tiles,
            **layer.source_mask,
        )
        for first_pixel in range(0, tiles["tile_count"] * layer.tile**2, layer.pixel_split):
            for first_filter in range(0, chosen, layer.filter_split):
                number += 1
                sizes = {
                    **tiles,
                    "first_pixel": first_pixel,
                    "pixel_count": layer.pixel_split,
                    "first_filter": first_filter,
                    "filter_count": min(layer.filter_split, chosen - first_filter),
                    "filter_table": layer.filter_table,
                    "stationary": layer.stationary[number % len(layer.stationary)],
                    "accumulator": 0,
                    "bank": bank,
                }
                for first_slice in range(0, slices, layer.slice_split):
                    build.emit(
                        Opcode.MATMUL,
                        [gathered, *filters.ready, bank_free[bank]],
                        weight_base=filters.base // 4,
                        weight_vectors=filters.vectors,
                        taps=kernel_height * kernel_width,
                        channels=channels,
                        first_slice=first_slice,
                        slice_count=layer.slice_split,
                        accumulate=int(first_slice > 0),
                        **patch,
                        **sizes,
                    )
                bank_free[bank] = build.emit(
                    Opcode.EPILOGUE,
                    [build.mark(Unit.ARRAY)],
                    kind=EpilogueKind.STORE,
                    destination=target.address,
                    out_height=out_height,
                    out_width=out_width,
                    channels=stored,
                    compact=int(layer.compact),
                    parameters=filters.parameter,
                    residual=int(layer.residual),
                    relu=int(layer.relu),
                    pool=int(layer.pool_address is not None),
                    pool_address=layer.pool_address or 0,
                    grid_width=grid[1],
                    **sizes,
                )
                bank ^= 1
    target.ready = [build.mark(Unit.EPILOGUE)]


def conv_values(source: Int8, filters: Filters, layer: Layer, before: Int8) -> Int8:
    """The output map after ``emit_conv``, from the output map before it."""
    sums = conv_sums(source, filters.weights, layer.stride, layer.padding)
    listed = layer.filter_list if layer.filter_list is not None else list(range(len(filters.weights)))
    entries = [filters.entries[1 + f] for f in listed]
    residual = before[..., : len(listed)] if layer.residual else None
    full = finish(sums[..., listed], entries, layer.relu, residual)
    after = before.copy()
    height, width, _ = before.shape
    grid = [(y, x) for y in range(-(-height // layer.tile)) for x in range(-(-width // layer.tile))]
    for tile_y, tile_x in grid if layer.tiles is None else layer.tiles:
        where = np.s_[tile_y * layer.tile : (tile_y + 1) * layer.tile, tile_x * layer.tile : (tile_x + 1) * layer.tile]
        after[where][..., : len(listed)] = full[where]
    return after


def pool_values(after: Int8, filters: Filters, layer: Layer) -> dict[tuple[int, int], Int8]:
    """The averages that a pooled layer writes, [channel] for each of its tiles."""
    height, width, _ = after.shape
    grid = [(y, x) for y in range(-(-height // layer.tile)) for x in range(-(-width // layer.tile))]
    _, multiplier, shift = filters.entries[0]
    averages = {}
    for tile_y, tile_x in grid if layer.tiles is None else layer.tiles:
        where = np.s_[tile_y * layer.tile : (tile_y + 1) * layer.tile, tile_x * layer.tile : (tile_x + 1) * layer.tile]
        sums = after[where].reshape(-1, after.shape[2]).astype(np.int64).sum(axis=0)
        averages[tile_y, tile_x] = np.array(
            [max(-128, min(127, scale(int(s), multiplier, shift))) for s in sums], np.int8
        )
    return averages
