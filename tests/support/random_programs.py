"""Random legal programs: random chains of layers with random machines, and what they must compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig, DramConfig
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary, Unit
from gatewright.contract.program import Program
from tests.support.stepped_layers import Layer, emit_conv, emit_whole
from tests.support.stepped_oracle import conv_sums, conv_values, finish, pool_values, random_parameters
from tests.support.stepped_programs import Builder, Filters, Map

TILE_TABLE, FILTER_TABLE, REST_TABLE, TILE_MASK, FILTER_MASK = 0, 1, 2, 3, 7


def random_arch(rng: np.random.Generator, shape: tuple[int, int]) -> ArchConfig:
    """An architecture of some shape with random loads, queues and DRAM."""
    per_cycles = int(rng.integers(1, 6))
    dram = DramConfig(
        latency=int(rng.integers(2, 80)),
        beats=int(rng.integers(1, per_cycles + 1)),
        per_cycles=per_cycles,
        burst_gap=int(rng.integers(0, 4)),
        outstanding=int(rng.integers(1, 17)),
    )
    return ArchConfig(
        name=f"{shape[0]}x{shape[1]}",
        rows=shape[0],
        columns=shape[1],
        load_vectors=int(rng.choice([1, 2, 4])),
        queue_depth=int(rng.integers(2, 9)),
        dram=dram,
    )


class Network:
    """A random network on its way into a program.

    ``checks`` are (address, values) in the final scratchpad, ``dram_checks`` the same in the final DRAM.
    """

    def __init__(self, seed: int, machine: tuple[int, int] | ArchConfig) -> None:
        self.rng = np.random.default_rng(seed)
        self.arch = machine if isinstance(machine, ArchConfig) else random_arch(self.rng, machine)
        self.build = Builder(self.arch)
        self.checks: list[tuple[int, npt.NDArray[np.int8]]] = []
        self.dram_checks: list[tuple[int, npt.NDArray[np.int8]]] = []
        self.logits = np.zeros(0, np.int64)

    def filters(self, count: int, kernel: tuple[int, int], channels: int) -> Filters:
        weights = self.rng.integers(-128, 128, (count, *kernel, channels), dtype=np.int8)
        entries = random_parameters(self.rng, count + 1, kernel[0] * kernel[1] * channels)
        entries[0] = (0, int(self.rng.integers(1000, 65536)), int(self.rng.integers(14, 20)))
        return self.build.load_filters(weights, entries, bool(self.rng.integers(2)))

    def output(self, height: int, width: int, channels: int, preset: bool) -> Map:
        """A place for a map; with ``preset`` its contents are loaded, to be updated in place."""
        values = self.rng.integers(-128, 128, (height, width, channels), dtype=np.int8)
        if preset:
            return self.build.load_map(values)
        size = height * width * channels
        return Map(self.build.room(size, int(self.rng.integers(16))), np.zeros((height, width, channels), np.int8))

    def kernel(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of a kernel that fits a map."""
        return int(self.rng.integers(1, min(4, height + 1))), int(self.rng.integers(1, min(4, width + 1)))

    def layer(
        self,
        source: Map,
        tiles: list[tuple[int, int]] | None = None,
        tile: int | None = None,
        count: int | None = None,
        **given: Any,
    ) -> Map:
        """A random convolution of ``source``; the tiles' list, the number of filters and more of it may be given."""
        rng = self.rng
        height, width, channels = source.values.shape
        kernel = self.kernel(height, width)
        stride, padding = int(rng.integers(1, 3)), int(rng.integers(0, max(kernel) // 2 + 1))
        if tile is not None:
            kernel, stride, padding = (3, 3), 1, 1
        filters = self.filters(count or int(rng.integers(1, 14)), kernel, channels)
        count = len(filters.weights)
        plain = conv_sums(source.values, filters.weights, stride, padding)
        out_height, out_width, _ = plain.shape
        layer = Layer(stride=stride, padding=padding, relu=bool(rng.integers(2)), tiles=tiles)
        layer.tile = tile or int(rng.integers(1, 4))
        layer.chunk_tiles = int(rng.integers(1, 8))
        both = (Stationary.FILTERS, Stationary.PIXELS)
        layer.stationary = both if rng.integers(2) else (both[int(rng.integers(2))],)
        layer.pixel_split = int(rng.integers(1, 40))
        layer.filter_split = int(rng.choice([1, 3, 7, 100]))
        layer.slice_split = int(rng.choice([1, 2, 1000]))
        layer.residual = bool(rng.integers(2))
        pool = bool(rng.integers(2))
        extra = []
        grid = [(y, x) for y in range(-(-out_height // layer.tile)) for x in range(-(-out_width // layer.tile))]
        if tiles is None and rng.integers(2):
            layer.tiles = [grid[i] for i in np.flatnonzero(rng.integers(0, 2, len(grid)))]
            layer.tile_table = 3
            if layer.tiles:
                extra.append(self.build.load_table(3, [y << 8 | x for y, x in layer.tiles]))
            else:
                extra.append(self.build.load_table(3, []))
        if not layer.residual and rng.integers(3) == 0:
            layer.filter_list = sorted(
                int(f) for f in rng.choice(count, int(rng.integers(1, count + 1)), replace=False)
            )
            layer.filter_table, layer.compact = 4, bool(rng.integers(2))
            extra.append(self.build.load_table(4, layer.filter_list))
        for name, value in given.items():
            setattr(layer, name, value)
        if layer.residual or pool:
            layer.stationary = (Stationary.FILTERS,)
        if pool:
            whole = layer.tile**2
            layer.pixel_split = max(1, layer.pixel_split // whole) * whole
        stored = len(layer.filter_list) if layer.compact and layer.filter_list is not None else count
        partly = layer.tiles is not None or (layer.filter_list is not None and not layer.compact)
        target = self.output(out_height, out_width, stored, bool(layer.residual or partly))
        pool_count = len(grid) * stored
        if pool:
            layer.pool_address = self.build.room(pool_count, int(rng.integers(16)))
            layer.most_stored = None
        emit_conv(self.build, source, filters, layer, target, [*extra, *source.ready, *target.ready])
        target.values = conv_values(source.values, filters, layer, target.values)
        self.checks.append((target.address, target.values))
        if pool and layer.filter_list is None and layer.pool_address is not None:
            grid_width = -(-out_width // layer.tile)
            for (y, x), average in pool_values(target.values, filters, layer).items():
                self.checks.append((layer.pool_address + (y * grid_width + x) * stored, average))
        # A table or a mask may be written again only when nothing reads it any more.
        self.build.emit(Opcode.EXIT, [self.build.mark(u) for u in (Unit.EPILOGUE, Unit.ARRAY, Unit.GATHER)], mask=15)
        return target

    def gated(self, source: Map) -> Map:
        """A spatial gate that runs on the machine, and a layer on the tiles that it leaves."""
        height, width, channels = source.values.shape
        gate = self.filters(1, (3, 3), channels)
        on = conv_sums(source.values, gate.weights, 1, 1)[..., 0] + gate.entries[1][0] >= 0
        complement = int(self.rng.integers(2))
        done = emit_whole(self.build, source, gate, EpilogueKind.THRESHOLD, TILE_MASK * 1024, source.ready)
        index = {"mask": TILE_MASK, "bits": height * width, "grid_width": width}
        made = self.build.emit(Opcode.INDEX, [done], table=TILE_TABLE, complement=complement, **index)
        self.build.emit(Opcode.INDEX, [done], table=REST_TABLE, complement=1 - complement, **index)
        source.ready = [*source.ready, made]
        tiles = [(int(y), int(x)) for y, x in np.argwhere(on != bool(complement))]
        # The second INDEX, whose table nothing reads, may still read the mask when the next gate writes it.
        self.build.emit(Opcode.EXIT, [self.build.mark(Unit.INDEX)], mask=15)
        live = {"tile_table": TILE_TABLE, "live": 1, "chunk_tiles": int(self.rng.integers(5, 20)), "residual": 0}
        return self.layer(source, tiles, 1, **live)

    def finish(self, source: Map) -> Program:
        """Logits over all pixels, stored; and an int8 reduction next to them."""
        channels = source.values.shape[2]
        classes = self.filters(int(self.rng.integers(1, 12)), (1, 1), channels)
        sums = conv_sums(source.values, classes.weights, 1, 0).sum(axis=(0, 1))
        # STORE writes whole beats: the bytes behind the logits are written, too.
        logits = self.build.load_map(np.zeros((1, 1, 4 * len(sums) + -4 * len(sums) % 16), np.int8))
        reduced = self.build.room(len(sums), int(self.rng.integers(16)))
        ready = [*source.ready, *logits.ready]
        emit_whole(self.build, source, classes, EpilogueKind.REDUCE, reduced, ready)
        self.checks.append((reduced, finish(sums, classes.entries[1:], True)))
        done = emit_whole(self.build, source, classes, EpilogueKind.REDUCE_RAW, logits.address, ready)
        self.logits = sums + np.array([bias for bias, _, _ in classes.entries[1:]])
        output = self.build.store(logits.address, 4 * len(sums), [done])
        return self.build.program((output, 4 * len(sums)), page_size=int(self.rng.integers(6, 25)))


def random_network(seed: int, machine: tuple[int, int] | ArchConfig) -> tuple[Network, Program]:
    """A network, its expectations and its program, for a machine or for a random one of some (rows, columns)."""
    network = Network(seed, machine)
    rng = network.rng
    size = (int(rng.integers(1, 8)), int(rng.integers(1, 8)), int(rng.integers(1, 7)))
    current = network.build.load_map(rng.integers(-128, 128, size, dtype=np.int8))
    for _ in range(int(rng.integers(1, 4))):
        gated = current.values.shape[0] * current.values.shape[1] >= 9 and rng.integers(2)
        current = network.gated(current) if gated else network.layer(current)
    return network, network.finish(current)
