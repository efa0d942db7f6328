"""Random layers: convolutions of any shape, cut in any way, and what they must compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import Opcode, Stationary, Unit
from gatewright.verify.kit.generate.builder import Filters, Map
from gatewright.verify.kit.generate.layers import Layer, emit_conv, entries
from gatewright.verify.kit.generate.operands import slices_of
from gatewright.verify.kit.generate.oracle import conv_sums, conv_values, pool_values, random_parameters
from gatewright.verify.kit.generate.random_machines import random_machine
from gatewright.verify.kit.generate.scattered import NoRoom, ScatterBuilder


class LayerNetwork:
    """A random network on its way into a program, layer by layer.

    ``checks`` are (address, values) in the final scratchpad, ``dram_checks`` the same in the final DRAM.
    """

    def __init__(self, seed: int, arch: ArchConfig | None, attempt: int = 0) -> None:
        self.rng = np.random.default_rng([seed, attempt])
        self.arch = arch or random_machine(seed)
        self._lists = np.random.default_rng([seed, attempt, 2])
        self._without_work = np.random.default_rng([seed, attempt, 3])
        self.build = self.builder()
        self.checks: list[tuple[int, npt.NDArray[np.int8]]] = []
        self.dram_checks: list[tuple[int, npt.NDArray[np.int8]]] = []
        self.logits = np.zeros(0, np.int64)

    def builder(self) -> ScatterBuilder:
        """Where the instructions go."""
        return ScatterBuilder(self.arch, self.rng)

    def filters(self, count: int, kernel: tuple[int, int], channels: int, pooled: bool = False) -> Filters:
        """Random filters, with an entry for the pooling or without."""
        weights = self.rng.integers(-128, 128, (count, *kernel, channels), dtype=np.int8)
        return self.build.load_filters(
            weights, self.entries(count, weights[0].size), bool(self.rng.integers(2)), pooled=pooled
        )

    def entries(self, count: int, reduction: int) -> list[tuple[int, int, int]]:
        """Random parameters: the pooling's, and of each filter."""
        pooling = (0, int(self.rng.integers(1000, 65536)), int(self.rng.integers(14, 20)))
        return [pooling, *random_parameters(self.rng, count, reduction)]

    def output(self, height: int, width: int, channels: int, preset: bool) -> Map:
        """A place for a map; with ``preset`` its contents are loaded, to be updated in place."""
        values = self.rng.integers(-128, 128, (height, width, channels), dtype=np.int8)
        if preset:
            return self.build.load_map(values)
        size = height * width * channels
        return Map(self.build.room(size, int(self.rng.integers(16))), np.zeros((height, width, channels), np.int8))

    def coarse(self, height: int, width: int, channels: int, shift: int) -> Map:
        """A loaded map that is a residual for one of so many pixels: just as large as it must be, or a little wider."""
        rows, columns = -(-height >> shift), -(-width >> shift) + int(self.rng.integers(3))
        return self.build.load_map(self.rng.integers(-128, 128, (rows, columns, channels), dtype=np.int8))

    def kernel(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of a kernel that fits a map."""
        return int(self.rng.integers(1, min(4, height + 1))), int(self.rng.integers(1, min(4, width + 1)))

    def layer(
        self,
        source: Map,
        tiles: list[tuple[int, int]] | None = None,
        tile: int | None = None,
        count: int | None = None,
        some_channels: int | None = None,
        dilation: int = 1,
        **given: Any,
    ) -> Map:
        """A random convolution of ``source``; the tiles' list, the number of filters and more of it may be given."""
        rng = self.rng
        seen = source.values[..., :some_channels]
        height, width, channels = seen.shape
        kernel = self.kernel((height - 1) // dilation + 1, (width - 1) // dilation + 1)
        stride, padding = int(rng.integers(1, 3)), int(rng.integers(0, max(kernel) // 2 + 1)) * dilation
        if tile is not None:
            kernel, stride, padding = (3, 3), 1, 1
        pool = bool(rng.integers(2))
        filters = self.filters(count or int(rng.integers(1, 14)), kernel, channels, pooled=pool)
        count = len(filters.weights)
        plain = conv_sums(seen, filters.weights, stride, padding, dilation)
        out_height, out_width, _ = plain.shape
        layer = Layer(stride=stride, padding=padding, relu=bool(rng.integers(2)), tiles=tiles)
        layer.some_channels, layer.dilation = some_channels, dilation
        layer.tile = tile or int(rng.integers(1, 4))
        layer.chunk_tiles = int(rng.integers(1, 8))
        both = (Stationary.FILTERS, Stationary.PIXELS)
        layer.stationary = both if rng.integers(2) else (both[int(rng.integers(2))],)
        layer.pixel_split = int(rng.integers(1, 40))
        layer.filter_split = int(rng.choice([1, 3, 7, 100]))
        layer.slice_split = int(rng.choice([1, 2, 1000]))
        layer.gather_slices = int(rng.choice([1, 2, 3, 1000, 1000]))
        if (
            (some_channels or dilation > 1)
            and kernel[1] > 1
            and layer.gather_slices < slices_of(self.arch, filters.weights[0].size)
        ):
            # A piece begins with a kernel row.
            whole, rest = divmod(kernel[1] * channels, self.arch.rows)
            layer.gather_slices = 1000 if rest else whole * layer.gather_slices
        layer.residual = bool(rng.integers(2))
        extra, held = [], []
        grid = [(y, x) for y in range(-(-out_height // layer.tile)) for x in range(-(-out_width // layer.tile))]
        if tiles is None and rng.integers(2) and (table := self.build.take_table()) is not None:
            chosen = [grid[i] for i in np.flatnonzero(rng.integers(0, 2, len(grid)))]
            layer.tiles, layer.tile_table = chosen[: self.arch.table_entries], table
            held.append(table)
            extra.append(self.build.load_table(table, [y << COORDINATE_BITS | x for y, x in layer.tiles]))
        may_list = not layer.residual and rng.integers(3) == 0
        if may_list and "filter_list" not in given and (table := self.build.take_table()) is not None:
            layer.filter_list = sorted(
                int(f) for f in rng.choice(count, int(rng.integers(1, count + 1)), replace=False)
            )
            layer.filter_table, layer.compact = table, bool(rng.integers(2))
            held.append(table)
            extra.append(self.build.load_table(table, layer.filter_list))
        for name, value in given.items():
            setattr(layer, name, value)
        if layer.filter_list is not None and rng.integers(2):
            layer.both_ways, layer.stationary = True, both
        if layer.filter_list is not None:
            layer.gathers_for_filters = bool(self._lists.integers(4))
            if layer.gathers_for_filters and not some_channels and dilation == 1 and self._lists.integers(2):
                layer.gather_slices, layer.filter_split = 1, int(self._lists.choice([1, 3]))
        if self._without_work.integers(8) == 0:
            # Behind a long stream as many as find no place in the order of completions.
            layer.without_work = int(self._without_work.choice([1, 2, 12]))
            if layer.without_work == 12 and not layer.both_ways:
                layer.pixel_split, layer.slice_split, layer.stationary = 1000, 1000, (Stationary.FILTERS,)
                layer.chunk_tiles = max(layer.chunk_tiles, 36 // layer.tile**2)
        self.fit(layer, filters.weights.shape, pool)
        self._in_order(layer, filters)
        stored = len(layer.filter_list) if layer.compact and layer.filter_list is not None else count
        partly = layer.tiles is not None or (layer.filter_list is not None and not layer.compact)
        if layer.residual and rng.integers(2):
            shift = int(rng.integers(4))
            # Of the coarser map mostly more rows than one, which tell how long they are.
            layer.upsample = shift if shift == 3 else min(shift, max(0, (out_height - 1).bit_length() - 1))
            layer.elsewhere = self.coarse(out_height, out_width, stored, layer.upsample)
            extra += layer.elsewhere.ready
        in_place = layer.residual and layer.elsewhere is None
        target = self.output(out_height, out_width, stored, bool(in_place or partly))
        pool_count = len(grid) * stored
        if pool:
            layer.pool_address = self.build.room(pool_count, int(rng.integers(16)))
            layer.most_stored = None
        emit_conv(self.build, source, filters, layer, target, [*extra, *source.ready, *target.ready])
        target.values = conv_values(source.values, filters, layer, target.values)
        self.checks.append((target.address, target.values))
        if layer.filter_list is None and layer.pool_address is not None:
            grid_width = -(-out_width // layer.tile)
            for (y, x), average in pool_values(target.values, filters, layer).items():
                self.checks.append((layer.pool_address + (y * grid_width + x) * stored, average))
        self.settle()
        self.build.give_table(*held)
        return target

    def _in_order(self, layer: Layer, filters: Filters) -> None:
        """Now and then, the filters of the list are loaded alone, part by part: a region is named as it was loaded."""
        if not layer.filter_list or self._lists.integers(2):
            return
        for first in range(0, len(layer.filter_list), layer.filter_split):
            part = filters.weights[layer.filter_list[first : first + layer.filter_split]]
            parameters = [(0, 1, 1)] * (len(part) + 1)
            layer.in_order.append(self.build.load_filters(part, parameters, False, pooled=False))

    def hold(self) -> None:
        """An EXIT that is not taken: what was read until here may be written again behind it, and port B is free."""
        units = (Unit.EPILOGUE, Unit.ARRAY, Unit.GATHER)
        self.build.emit(Opcode.EXIT, [self.build.mark(unit) for unit in units])

    def settle(self) -> None:
        """The same behind a layer: its weights and parameters may be overwritten, too."""
        self.hold()
        self.build.release()

    def fit(self, layer: Layer, weights: Sequence[int], pool: bool = False) -> None:
        """Make the parts of a layer with filters [filter, kh, kw, channel] fit the patch buffer and accumulators."""
        if layer.residual or pool:
            layer.stationary = (Stationary.FILTERS,)
        count, *taps, channels = weights
        slices = slices_of(self.arch, int(np.prod(taps)) * (layer.most_channels or channels))
        slices = min(slices, layer.gather_slices)
        whole = layer.tile**2
        layer.chunk_tiles = min(layer.chunk_tiles, self.arch.patch_words // slices // 4 * 4 // whole)
        if layer.chunk_tiles == 0:
            raise NoRoom
        step = whole if pool else 1
        pixels = min(layer.pixel_split, layer.chunk_tiles * whole)
        pixels, some = max(1, pixels // step) * step, min(layer.filter_split, count)
        while (
            max(entries(self.arch, stands, pixels, some) for stands in layer.stationary) > self.arch.accumulator_depth
        ):
            if pixels > step and (some == 1 or self.rng.integers(2)):
                pixels = pixels // 2 // step * step or step
            elif some > 1:
                some //= 2
            else:
                raise NoRoom
        layer.pixel_split, layer.filter_split = pixels, some
