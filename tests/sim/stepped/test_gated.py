"""A gated block as the machine runs it live: gates decide, tables are built, and everything that they skip is skipped.

Both gates of DGNet run on the array. The first convolution makes a compact map of the active channels on the active
pixels; the second loads only the active input channels' weights, masks the inactive pixels and adds in place.
"""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary
from gatewright.contract.trace import first_difference
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from gatewright.verify.kit.generate.builder import Builder, Map
from gatewright.verify.kit.generate.layers import Layer, emit_conv, emit_whole
from gatewright.verify.kit.generate.oracle import conv_sums, conv_values, finish, random_parameters

TILES, FILTERS = 0, 2
TILE_MASK, FILTER_MASK = 3, 7
EDGE, INPUTS, HIDDEN, MIDDLE, OUTPUTS = 6, 5, 6, 9, 10
ALL, NONE = 10**6, -(10**6)


@pytest.mark.parametrize("shape", [(5, 6), (4, 4), (8, 8), (12, 20)])
@pytest.mark.parametrize(("tile_bias", "filter_bias"), [(0, 0), (ALL, ALL), (NONE, 0), (0, NONE), (ALL, 0)])
def test_a_live_gated_block(shape: tuple[int, int], tile_bias: int, filter_bias: int) -> None:
    seed = shape[0] * 10 + shape[1]
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    build = Builder(ArchConfig(name="test", rows=shape[0], columns=shape[1]))

    def weights(*sizes: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return rng.integers(-128, 128, sizes, dtype=np.int8)

    source = build.load_map(rng.integers(-128, 128, (EDGE, EDGE, INPUTS), dtype=np.int8))
    before = rng.integers(-128, 128, (EDGE, EDGE, OUTPUTS), dtype=np.int8)
    target = build.load_map(before)

    # The channel gate: pooled hidden layer, then one bit for each filter.
    hidden = build.load_filters(weights(HIDDEN, 1, 1, INPUTS), random_parameters(rng, HIDDEN + 1, 200), True)
    hidden_map = Map(build.room(HIDDEN), np.zeros((1, 1, HIDDEN), np.int8))
    hidden_map.ready = [emit_whole(build, source, hidden, EpilogueKind.REDUCE, hidden_map.address, source.ready)]
    totals = conv_sums(source.values, hidden.weights, 1, 0).sum(axis=(0, 1))
    hidden_map.values = finish(totals, hidden.entries[1:], True).reshape(1, 1, -1)
    decide = build.load_filters(weights(MIDDLE, 1, 1, HIDDEN), [(filter_bias, 1, 1)] * (MIDDLE + 1), False)
    on_filters = conv_sums(hidden_map.values, decide.weights, 1, 0)[0, 0] + filter_bias >= 0
    done = emit_whole(build, hidden_map, decide, EpilogueKind.THRESHOLD, FILTER_MASK * 512, hidden_map.ready)
    filters_made = build.emit(Opcode.INDEX, [done], mask=FILTER_MASK, bits=MIDDLE, table=FILTERS)

    # The spatial gate: one bit for each pixel.
    gate = build.load_filters(weights(1, 3, 3, INPUTS), [(tile_bias, 1, 1)] * 2, True)
    on_tiles = conv_sums(source.values, gate.weights, 1, 1)[..., 0] + tile_bias >= 0
    done = emit_whole(build, source, gate, EpilogueKind.THRESHOLD, TILE_MASK * 512, [filters_made])
    grid = {"bits": EDGE * EDGE, "grid_width": EDGE}
    tiles_made = build.emit(Opcode.INDEX, [done], mask=TILE_MASK, table=TILES, **grid)

    tiles = [(int(y), int(x)) for y, x in np.argwhere(on_tiles)]
    kept = [int(f) for f in np.flatnonzero(on_filters)]
    live = {"live": True, "tile_table": TILES, "tiles": tiles, "chunk_tiles": 20}
    first = build.load_filters(weights(MIDDLE, 3, 3, INPUTS), random_parameters(rng, MIDDLE + 1, 45), False)
    middle = Map(build.room(EDGE * EDGE * MIDDLE), np.zeros((EDGE, EDGE, MIDDLE), np.int8))
    both = (Stationary.PIXELS, Stationary.FILTERS)
    compact = Layer(filter_table=FILTERS, filter_list=kept, compact=True, stationary=both, **live)  # type: ignore[arg-type]
    emit_conv(build, source, first, compact, middle, [tiles_made])

    # Channel by channel in DRAM, so that only the kept rows are read.
    second = build.load_filters(
        weights(OUTPUTS, 3, 3, MIDDLE), random_parameters(rng, OUTPUTS + 1, 81), True, FILTERS, [tiles_made]
    )
    mask = {"source_mask": TILE_MASK, "source_tile": 1, "source_grid": EDGE}
    add = Layer(channel_table=FILTERS, source_mask=mask, residual=True, slice_split=2, **live)  # type: ignore[arg-type]
    emit_conv(build, middle, second, add, target, [tiles_made])
    program = build.program()
    result = step_simulate(program, fill_seed=seed)

    assert np.flatnonzero(result.masks[FILTER_MASK]).tolist() == kept
    assert result.tables[FILTERS].tolist() == kept
    assert result.tables[TILES].tolist() == [y << 8 | x for y, x in tiles]
    full = finish(conv_sums(source.values, first.weights, 1, 1), first.entries[1:], True)
    masked = np.where(on_tiles[..., None] & on_filters, full, np.int8(0))
    expected = conv_values(masked, second, Layer(residual=True, tiles=tiles), before)
    left = result.scratchpad.view(np.int8)[target.address : target.address + expected.size].reshape(expected.shape)
    np.testing.assert_array_equal(left, expected)
    if kept and tiles:
        packed = result.scratchpad.view(np.int8)[middle.address :][: EDGE * EDGE * len(kept)]
        np.testing.assert_array_equal(packed.reshape(EDGE, EDGE, -1)[on_tiles], full[..., kept][on_tiles])

    plain, fast = step_simulate(program), simulate(program)
    assert first_difference(plain.trace, fast.trace) is None
    assert first_difference(plain.trace, result.trace) is None
    np.testing.assert_array_equal(plain.scratchpad, fast.scratchpad)
    np.testing.assert_array_equal(plain.masks, fast.masks)
