"""Maps of which a ring holds some rows at a time, and reductions in pieces: the same bytes as all at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Unit, column
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.builder import Builder, Filters, Map
from gatewright.verify.kit.generate.layers import Layer, emit_conv
from gatewright.verify.kit.generate.operands import parameters
from gatewright.verify.kit.generate.oracle import conv_values, random_parameters
from gatewright.verify.kit.generate.windows import Windows, emit_windows, window_values
from tests.sim.layers.both import contents, run_both

EDGE, WIDTH, CHANNELS = 9, 7, 6


class Band:
    """A 3x3 convolution, a second one added to its result in place, and 3x3 readers of that."""

    def __init__(self, arch: ArchConfig, address: int | None = None) -> None:
        self.rng, self.build = np.random.default_rng(11), Builder(arch)
        self.source = self.build.load_map(self._bytes(EDGE, WIDTH, CHANNELS))
        self.filters = [self._filters(CHANNELS, CHANNELS) for _ in range(3)]
        self.layers = [Layer(tile=2), Layer(tile=2, residual=True), Layer(tile=2, relu=False)]
        middle = Map(0, np.zeros((EDGE, WIDTH, CHANNELS), np.int8))
        for filters, layer in zip(self.filters[:2], self.layers[:2], strict=True):
            middle.values = conv_values(self.source.values, filters, layer, middle.values)
        self.middle = middle

    def _bytes(self, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return self.rng.integers(-128, 128, shape, dtype=np.int8)

    def _filters(self, count: int, channels: int) -> Filters:
        entries = random_parameters(self.rng, count + 1, 9 * channels)
        return self.build.load_filters(self._bytes(count, 3, 3, channels), entries, True)

    def make(self, row: int) -> None:
        """Rows 2 * row and the next one of the middle map."""
        for filters, layer in zip(self.filters[:2], self.layers[:2], strict=True):
            layer.tile_rows = (row, row + 1)
            emit_conv(self.build, self.source, filters, layer, self.middle, [*self.source.ready, *self.middle.ready])

    def target(self, *shape: int) -> Map:
        """Where a reader's result goes."""
        self.build.emit(Opcode.EXIT, [self.build.mark(Unit.LOAD)])
        return Map(self.build.room(int(np.prod(shape))), np.zeros(shape, np.int8))


def machine(shape: tuple[int, int]) -> ArchConfig:
    return ArchConfig(name="test", rows=shape[0], columns=shape[1])


def wraps(program: Program, opcode: Opcode) -> bool:
    """Whether an instruction goes on at the ring's begin."""
    return bool((program.code[program.code[:, 0] == opcode, column(opcode, "wrap_row")] > 0).any())


@pytest.mark.parametrize("ring", [5, 6, 7, 9, 20])
@pytest.mark.parametrize("shape", [(4, 4), (16, 16), (12, 20)])
def test_convolutions_through_a_ring(shape: tuple[int, int], ring: int) -> None:
    band = Band(machine(shape))
    middle, reader, filters = band.middle, band.layers[2], band.filters[2]
    middle.ring, middle.address = ring, band.build.room(ring * WIDTH * CHANNELS, 3)
    target = band.target(EDGE, WIDTH, CHANNELS)
    made = 0
    for row in range((EDGE + 1) // 2):
        while 2 * made < min(EDGE, 2 * row + 3):
            band.make(made)
            made += 1
        reader.tile_rows = (row, row + 1)
        emit_conv(band.build, middle, filters, reader, target, [*middle.ready, *target.ready])
        middle.ready = [band.build.mark(Unit.GATHER), band.build.mark(Unit.EPILOGUE)]
    program = band.build.program()
    assert wraps(program, Opcode.GATHER) == (ring < EDGE)
    assert wraps(program, Opcode.EPILOGUE) == (ring in (5, 7))
    expected = conv_values(middle.values, filters, reader, np.zeros_like(target.values))
    np.testing.assert_array_equal(contents(run_both(program), target), expected)


@pytest.mark.parametrize("ring", [5, 6, 20])
def test_max_pool_through_a_ring(ring: int) -> None:
    band = Band(machine((8, 8)))
    middle, windows = band.middle, Windows(EpilogueKind.MAX, 3, 2, 1)
    middle.ring, middle.address = ring, band.build.room(ring * WIDTH * CHANNELS, 3)
    target = band.target(5, 4, CHANNELS)
    entry = {"space": Space.PARAMETERS, "rows": 1, "row_beats": 1, "address": 1000}
    loaded = band.build.emit(Opcode.LOAD, dram_address=band.build.image.add(parameters([(0, 2, 1)])), **entry)
    made = 0
    for row in range(5):
        while 2 * made < min(EDGE, 2 * row + 2):
            band.make(made)
            made += 1
        emit_windows(band.build, middle, windows, 1000, target, [loaded, *middle.ready], (row, row + 1))
    expected = window_values(middle.values, windows, 5, 4)
    np.testing.assert_array_equal(contents(run_both(band.build.program()), target), expected)


@pytest.mark.parametrize("shape", [(4, 4), (16, 16), (12, 20)])
@pytest.mark.parametrize("gather_slices", [1, 2, 3, 5])
@pytest.mark.parametrize("slice_split", [1, 2, 1000])
def test_pieces_of_a_reduction_add_up(shape: tuple[int, int], gather_slices: int, slice_split: int) -> None:
    rng = np.random.default_rng(shape[0])
    build = Builder(machine(shape))
    source = build.load_map(rng.integers(-128, 128, (5, 6, 13), dtype=np.int8))
    weights = rng.integers(-128, 128, (7, 3, 3, 13), dtype=np.int8)
    filters = build.load_filters(weights, random_parameters(rng, 8, 9 * 13), False)
    layer = Layer(tile=2, chunk_tiles=4, gather_slices=gather_slices, slice_split=slice_split)
    target = Map(build.room(5 * 6 * 7), np.zeros((5, 6, 7), np.int8))
    emit_conv(build, source, filters, layer, target, source.ready)
    expected = conv_values(source.values, filters, layer, target.values)
    np.testing.assert_array_equal(contents(run_both(build.program()), target), expected)


@pytest.mark.parametrize("kib", [256, 5])
def test_a_map_may_begin_before_byte_0_if_what_is_read_does_not(kib: int) -> None:
    """The first rows of a ring at byte 0 are long gone: row 0 would lie at a negative address."""
    rng = np.random.default_rng(3)
    build = Builder(replace(machine((4, 4)), scratchpad_kib=kib))
    held = rng.integers(-128, 128, (4, 5, 3), dtype=np.int8)
    whole = np.zeros((12, 5, 3), np.int8)
    whole[8:12] = held
    source = build.load_map(held)
    assert source.address == 0
    ring = Map(0, whole, source.ready, ring=4)
    assert ring.rows(8, 12)[0] == (1 << 20) - 8 * 15
    weights = rng.integers(-128, 128, (4, 1, 1, 3), dtype=np.int8)
    filters = build.load_filters(weights, random_parameters(rng, 5, 3), False)
    target = build.load_map(np.zeros((12, 5, 4), np.int8))
    layer = Layer(padding=0, tile_rows=(8, 12), chunk_tiles=5)
    emit_conv(build, ring, filters, layer, target, [*source.ready, *target.ready])
    layer.tiles = [(y, x) for y in range(8, 12) for x in range(5)]
    expected = conv_values(whole, filters, layer, target.values)
    np.testing.assert_array_equal(contents(run_both(build.program()), target), expected)
