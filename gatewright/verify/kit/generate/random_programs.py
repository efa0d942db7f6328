"""Random legal programs: random chains of layers on random machines, and what they must compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, ArchConfig
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary, Unit
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.builder import Filters, Map
from gatewright.verify.kit.generate.layers import Layer, emit_conv, emit_whole, entries
from gatewright.verify.kit.generate.operands import slices_of
from gatewright.verify.kit.generate.oracle import conv_sums, conv_values, finish, pool_values, random_parameters
from gatewright.verify.kit.generate.random_apart import apart_layer
from gatewright.verify.kit.generate.random_depthwise import depthwise_layer
from gatewright.verify.kit.generate.random_machines import random_machine
from gatewright.verify.kit.generate.random_taps import spatial_gate
from gatewright.verify.kit.generate.random_windows import banded, summed, tall, windowed
from gatewright.verify.kit.generate.scattered import NoRoom, ScatterBuilder

ATTEMPTS = 400
"""Draws of a program, each no larger than the one before: on the smallest machine most do not fit."""

LARGEST = 7
"""Rows and columns of the first map, at most."""

Drawn = TypeVar("Drawn")


def first_that_fits(draw: Callable[[int], Drawn]) -> Drawn:
    """What ``draw`` makes of the first number of an attempt that fits the machine."""
    for attempt in range(ATTEMPTS):
        try:
            return draw(attempt)
        except NoRoom:
            continue
    raise AssertionError(f"{ATTEMPTS} draws do not fit the machine")


def largest(attempt: int) -> int:
    """Rows and columns of an attempt's first map, at most."""
    return max(1, LARGEST - attempt // 8)


class Network:
    """A random network on its way into a program.

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

    def gated(self, source: Map) -> Map:
        """A spatial gate that runs on the machine, and a layer on the tiles that it leaves, if a table holds them."""
        height, width, _ = source.values.shape
        mask = self.build.masks[0]
        on, done = spatial_gate(self, source, mask * MASK_BITS)
        complement = int(self.rng.integers(2))
        if np.count_nonzero(on != bool(complement)) > self.arch.table_entries:
            complement = 1 - complement
        if np.count_nonzero(on != bool(complement)) > self.arch.table_entries:
            return self.layer(source)
        table = self.build.take_table()
        assert table is not None, "between layers every table is free"
        index = {"mask": mask, "bits": height * width, "grid_width": width}
        waits = [done, self.build.mark(Unit.LOAD)]
        made = self.build.emit(Opcode.INDEX, waits, table=table, complement=complement, **index)
        rest = None
        if np.count_nonzero(on == bool(complement)) <= self.arch.table_entries and self.rng.integers(2):
            rest = self.build.take_table()
        if rest is not None:
            self.build.emit(Opcode.INDEX, waits, table=rest, complement=1 - complement, **index)
        source.ready = [*source.ready, made]
        tiles = [(int(y), int(x)) for y, x in np.argwhere(on != bool(complement))]
        # The second INDEX, whose table nothing reads, may still read the mask when the next gate writes it.
        self.build.emit(Opcode.EXIT, [self.build.mark(Unit.INDEX)])
        live = {"tile_table": table, "live": 1, "chunk_tiles": int(self.rng.integers(5, 20)), "residual": 0}
        target = self.layer(source, tiles, 1, **live)
        self.build.give_table(table, rest)
        return target

    def window(self, source: Map, filters: Filters) -> tuple[int, int]:
        """(first, number) of the pixels of a reduction: all of them if the buffers hold so many, and often fewer."""
        pixels, slices = source.values.shape[0] * source.values.shape[1], slices_of(self.arch, filters.weights[0].size)
        most = min(pixels, self.arch.patch_words // slices // 4 * 4, self.arch.accumulator_depth)
        if most == 0:
            raise NoRoom
        number = most if self.rng.integers(4) else int(self.rng.integers(1, most + 1))
        return int(self.rng.integers(pixels - number + 1)), number

    def summing(self, source: Map, filters: Filters) -> tuple[npt.NDArray[np.int64], Map, tuple[int, int]]:
        """What a reduction of 1x1 filters must add up to, the map that it reads, and (first, number) of its pixels.

        The map is ``source``, or that of the digits of the sums of all its pixels.
        """
        sums = conv_sums(source.values, filters.weights, 1, 0).reshape(-1, len(filters.weights))
        digits = summed(self, source) if self.rng.integers(2) else None
        if digits is not None:
            return sums.sum(axis=0), digits, (0, 2)
        first, number = self.window(source, filters)
        return sums[first : first + number].sum(axis=0), source, (first, number)

    def finish(self, source: Map) -> Program:
        """Logits over pixels, stored; and an int8 reduction next to them."""
        channels = source.values.shape[2]
        classes = self.filters(int(self.rng.integers(1, 12)), (1, 1), channels)
        sums, read, window = self.summing(source, classes)
        # STORE writes whole beats: the bytes behind the logits are written, too.
        logits = self.build.load_map(np.zeros((1, 1, 4 * len(sums) + -4 * len(sums) % 16), np.int8))
        reduced = self.build.room(len(sums), int(self.rng.integers(16)))
        ready, digits = [*read.ready, *logits.ready], read is not source
        emit_whole(self.build, read, classes, EpilogueKind.REDUCE, reduced, ready, window, digits)
        self.checks.append((reduced, finish(sums, classes.entries[1:], True)))
        raw = EpilogueKind.REDUCE_RAW
        done = emit_whole(self.build, read, classes, raw, logits.address, ready, window, digits)
        self.logits = sums + np.array([bias for bias, _, _ in classes.entries[1:]])
        output = self.build.store(logits.address, 4 * len(sums), [done])
        return self.build.program((output, 4 * len(sums)))


def random_network(seed: int, arch: ArchConfig | None = None) -> tuple[Network, Program]:
    """A network, its expectations and its program, for a machine or for the one of the seed."""

    def draw(attempt: int) -> tuple[Network, Program]:
        network, edge = Network(seed, arch, attempt), largest(attempt) + 1
        rng = network.rng
        in_bands = rng.integers(3) == 0
        shape = tall(rng, edge) if in_bands else (int(rng.integers(1, edge)), int(rng.integers(1, edge)))
        size = (*shape, int(rng.integers(1, edge)))
        current = network.build.load_map(rng.integers(-128, 128, size, dtype=np.int8))
        if in_bands:
            current = banded(network, current)
        for _ in range(int(rng.integers(1, 4))):
            step = network.gated if current.values.shape[0] * current.values.shape[1] >= 9 else network.layer
            some: list[Callable[[Map], Map]] = [step, network.layer, partial(windowed, network)]
            some += [partial(depthwise_layer, network)] * network.arch.depthwise
            some += [partial(apart_layer, network)] * 2
            current = some[int(rng.integers(len(some)))](current)
        return network, network.finish(current)

    return first_that_fits(draw)
