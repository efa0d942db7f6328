"""Random legal programs: the stepped simulator's values against a numpy oracle, its cycles against the fast simulator.

A program is a random chain of layers: cuts into chunks, splits of pixels, filters and slices, both stationary
operands, tables of tiles and filters (loaded, or made by gates that run on the machine), compact maps,
masked sources, residuals, pooling, and logits that STORE writes to DRAM.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from gatewright.arch import ArchConfig, DramConfig
from gatewright.isa import EpilogueKind, Opcode, Stationary, Unit
from gatewright.program import Program
from gatewright.sim.machine import simulate
from gatewright.sim.stepped import SteppedResult, step_simulate
from gatewright.sim.stepped.memories import Accumulators, Scratchpad
from gatewright.trace import first_difference
from tests.report.test_attribution_random import random_program
from tests.support.stepped_layers import Layer, emit_conv, emit_whole
from tests.support.stepped_oracle import conv_sums, conv_values, finish, pool_values, random_parameters
from tests.support.stepped_programs import Builder, Filters, Map

SHAPES = [(4, 8), (4, 4), (8, 8), (12, 20), (16, 16), (5, 7), (16, 32), (6, 4)]
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
    """A random network on its way into a program; ``checks`` are (address, values) in the final scratchpad."""

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.arch = random_arch(self.rng, shape)
        self.build = Builder(self.arch)
        self.checks: list[tuple[int, npt.NDArray[np.int8]]] = []
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

    def layer(
        self, source: Map, tiles: list[tuple[int, int]] | None = None, tile: int | None = None, **given: int
    ) -> Map:
        """A random convolution of ``source``; the tiles' list and table may be given."""
        rng = self.rng
        height, width, channels = source.values.shape
        kernel = (int(rng.integers(1, min(4, height + 1))), int(rng.integers(1, min(4, width + 1))))
        stride, padding = int(rng.integers(1, 3)), int(rng.integers(0, max(kernel) // 2 + 1))
        if tile is not None:
            kernel, stride, padding = (3, 3), 1, 1
        filters = self.filters(int(rng.integers(1, 14)), kernel, channels)
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
        stored = len(layer.filter_list) if layer.compact and layer.filter_list else count
        target = self.output(out_height, out_width, stored, layer.residual or layer.tiles is not None)
        pool_count = len(grid) * stored
        if pool:
            layer.pool_address = self.build.room(pool_count, int(rng.integers(16)))
        layer.channel_table = 15
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
        live = {"tile_table": TILE_TABLE, "live": 1, "chunk_tiles": int(self.rng.integers(5, 20)), "residual": 0}
        return self.layer(source, tiles, 1, **live)

    def finish(self, source: Map) -> Program:
        """Logits over all pixels, stored; and an int8 reduction next to them."""
        channels = source.values.shape[2]
        classes = self.filters(int(self.rng.integers(1, 12)), (1, 1), channels)
        sums = conv_sums(source.values, classes.weights, 1, 0).sum(axis=(0, 1))
        at = self.build.room(4 * len(sums))
        reduced = self.build.room(len(sums), int(self.rng.integers(16)))
        emit_whole(self.build, source, classes, EpilogueKind.REDUCE, reduced, source.ready)
        self.checks.append((reduced, finish(sums, classes.entries[1:], True)))
        done = emit_whole(self.build, source, classes, EpilogueKind.REDUCE_RAW, at, source.ready)
        self.logits = sums + np.array([bias for bias, _, _ in classes.entries[1:]])
        output = self.build.store(at, 4 * len(sums), [done])
        return self.build.program((output, 4 * len(sums)), page_size=int(self.rng.integers(6, 25)))


def random_network(seed: int, shape: tuple[int, int]) -> tuple[Network, Program]:
    """A network, its expectations and its program."""
    network = Network(seed, shape)
    rng = network.rng
    size = (int(rng.integers(1, 8)), int(rng.integers(1, 8)), int(rng.integers(1, 7)))
    current = network.build.load_map(rng.integers(-128, 128, size, dtype=np.int8))
    for _ in range(int(rng.integers(1, 4))):
        gated = current.values.shape[0] * current.values.shape[1] >= 9 and rng.integers(2)
        current = network.gated(current) if gated else network.layer(current)
    return network, network.finish(current)


def assert_same(program: Program, stepped: SteppedResult) -> None:
    """The fast simulator ran the same program in the same cycles to the same memories."""
    fast = simulate(program, audit=True)
    difference = first_difference(stepped.trace, fast.trace)
    assert difference is None, f"{difference}: {program.opcode_name(min(difference.position, len(program.code) - 1))}"
    assert stepped.cycles == fast.cycles
    np.testing.assert_array_equal(stepped.dram, fast.dram)
    np.testing.assert_array_equal(stepped.scratchpad, fast.scratchpad)
    np.testing.assert_array_equal(stepped.masks, fast.masks)
    np.testing.assert_array_equal(stepped.logits, fast.logits)
    for number, (left, right) in enumerate(zip(stepped.tables, fast.tables, strict=True)):
        np.testing.assert_array_equal(left, right, err_msg=f"table {number}")


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_agree_with_the_oracle_and_with_the_fast_simulator(seed: int) -> None:
    shape = SHAPES[seed % len(SHAPES)]
    print(f"seed {seed}, array {shape[0]}x{shape[1]}")
    network, program = random_network(seed, shape)
    stepped = step_simulate(program)
    bytes_left = stepped.scratchpad.view(np.int8)
    for address, values in network.checks:
        np.testing.assert_array_equal(bytes_left[address : address + values.size].reshape(values.shape), values)
    np.testing.assert_array_equal(stepped.logits, network.logits)
    assert_same(program, stepped)


@pytest.mark.parametrize("seed", range(16))
def test_any_mix_of_instructions_takes_the_same_cycles(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions without work among others, waits at random: only cycles are compared, so ports may collide."""
    print(f"seed {seed}")
    monkeypatch.setattr(Scratchpad, "_take_port_b", lambda *_: None)
    monkeypatch.setattr(Accumulators, "_take", lambda *_: None)
    program = random_program(seed)
    difference = first_difference(step_simulate(program).trace, simulate(program).trace)
    assert difference is None, f"{difference}"


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_nothing_depends_on_memory_that_was_never_written(seed: int) -> None:
    """Random contents at power-on change no cycle and no result."""
    print(f"seed {seed}")
    network, program = random_network(seed, SHAPES[seed % 4])
    zeros, noise = step_simulate(program), step_simulate(program, fill_seed=seed)
    assert first_difference(zeros.trace, noise.trace) is None
    np.testing.assert_array_equal(noise.logits, network.logits)
    for address, values in network.checks:
        left = noise.scratchpad.view(np.int8)[address : address + values.size]
        np.testing.assert_array_equal(left.reshape(values.shape), values)
