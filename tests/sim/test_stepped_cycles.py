"""Cycles of each instruction kind, worked out by hand from sections 4 and 5 of the machine's page.

Every expected number below is written as the sum that the page gives for that very case; none comes from
a simulator. In these programs the first dispatch is at cycle D, and an instruction that waits for nothing starts at its
dispatch plus 1.
"""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.arch import PRESETS, ArchConfig, DramConfig
from gatewright.isa import EpilogueKind, Opcode, Space, Stationary, Unit
from gatewright.sim.stepped import step_simulate
from tests.support.programs import Image, Row, make_program, row

FAST_DRAM = DramConfig(latency=10, beats=1, per_cycles=1, burst_gap=2, outstanding=2)
SLOW_DRAM = DramConfig(latency=5, beats=2, per_cycles=3, burst_gap=1, outstanding=16)


def arch_of(rows: int, columns: int, dram: DramConfig = FAST_DRAM, **changes: int) -> ArchConfig:
    return ArchConfig(name="test", rows=rows, columns=columns, dram=dram, **changes)  # type: ignore[arg-type]


def boot_cycles(instructions: int) -> int:
    """First dispatch with FAST_DRAM: latency 10, a beat a cycle, LOAD_LATENCY 4, FETCH_LATENCY 2."""
    return 10 + 2 * instructions + 4 + 2


def times(arch: ArchConfig, rows: list[Row], image: Image | None = None) -> list[tuple[int, int, int, int]]:
    """(dispatch, start, run, done) of every instruction, relative to the first dispatch; END included."""
    program = make_program(arch, rows, image)
    result = step_simulate(program)
    if arch.dram == FAST_DRAM:
        assert result.trace.records["dispatch"][0] == boot_cycles(len(program.code))
    first = int(result.trace.records["dispatch"][0])
    assert result.cycles == result.trace.records["done"][-1]
    names = ("dispatch", "start", "run", "done")
    return [tuple(int(record[name]) - first for name in names) for record in result.trace.records]  # type: ignore[misc]


def scratch_load(beats: int, **fields: int) -> Row:
    return row(Opcode.LOAD, space=Space.SCRATCHPAD, **{"rows": 1, "row_beats": beats, **fields})


def test_load_is_latency_then_beats_then_its_own_latency() -> None:
    image = Image()
    image.reserve(64)
    # s = 1, b = 11, E = 11 + 4, e = E + 4; END at x = 19.
    assert times(arch_of(4, 4), [scratch_load(4)], image) == [(0, 1, 1, 19), (19, 19, 19, 20)]


def test_load_without_rows_completes_after_its_latency_and_frees_the_unit_at_once() -> None:
    empty = scratch_load(1, rows=0)
    assert times(arch_of(4, 4), [empty, empty]) == [(0, 1, 1, 5), (1, 2, 2, 6), (6, 6, 6, 7)]


def test_load_bursts_are_limited_by_outstanding_and_gaps() -> None:
    image = Image()
    image.reserve(4 * 32)
    # Rows of 2 beats, 2 bursts in flight. a = 1, 2; b0 = 11, E0 = 13; b1 = 15, E1 = 17.
    # a2 = E0 = 13, b2 = 23, E2 = 25; a3 = E1 = 17, b3 = 27, E3 = 29; e = 33. free = a3 + 1 = 18.
    loads = [scratch_load(2, rows=4, row_stride=32), scratch_load(0, rows=1)]
    assert times(arch_of(4, 4), loads, image)[:2] == [(0, 1, 1, 33), (1, 18, 18, 33)]


def test_load_rows_split_at_4_kib_and_at_a_rational_rate() -> None:
    image = Image()
    image.reserve(4096 + 64)
    # 3 beats before the boundary, 2 behind it; 3 cycles for 2 beats. a = 1, 2; b0 = 6, E0 = 6 + 5 (ceil 4.5);
    # b1 = 11 + 1, E1 = 12 + 3; e = 15 + 4.
    load = scratch_load(5, dram_address=4096 - 48)
    assert times(arch_of(4, 4, SLOW_DRAM), [load], image)[0] == (0, 1, 1, 19)


@pytest.mark.parametrize(("rows", "pieces"), [(16, 1), (4, 2), (2, 3)])
def test_gather_moves_one_piece_of_a_kernel_row_a_cycle(rows: int, pieces: int) -> None:
    # 3 x 5 = 15 bytes a kernel row: 48, 12 or 6 bytes a cycle. 2 tiles of 4 pixels, 3 kernel rows.
    sizes = {"height": 8, "width": 8, "channels": 5, "out_width": 8, "tile": 2, "tile_count": 2, "patch_vectors": 8}
    gather = row(Opcode.GATHER, kernel_height=3, kernel_width=3, stride=1, padding_y=1, padding_x=1, **sizes)
    end = 1 + 2 * 4 * 3 * pieces + 8
    assert times(arch_of(rows, 4), [gather, gather])[:2] == [(0, 1, 1, end), (1, end, end, 2 * end - 1)]


def test_gather_without_tiles_or_channels_costs_its_latency() -> None:
    gather = row(Opcode.GATHER, height=8, width=8, channels=0, kernel_height=3, kernel_width=3, tile=1, tile_count=4)
    assert times(arch_of(4, 4), [gather])[0] == (0, 1, 1, 9)


def matmul(pixels: int, filters: int, reduction: int, standing: Stationary, **fields: int) -> Row:
    sizes = {"tile": 1, "tile_count": pixels, "pixel_count": pixels, "filter_count": filters, "slice_count": 99}
    regions = {"patch_vectors": 32, "weight_vectors": 32, "taps": 1, "channels": reduction}
    return row(Opcode.MATMUL, stationary=standing, **{**sizes, **regions, **fields})


def test_matmul_overlaps_loads_with_streams() -> None:
    # 4 x 4, 4 vectors a load cycle. 6 filters: blocks of 4 and 2, each load 1; 2 slices; 7 pixels stream.
    # S = 1 + 1, then 3 more tiles of 7: last S = 23; stream_end = 30; e = 30 + 4 + 4 + 4.
    assert times(arch_of(4, 4), [matmul(7, 6, 8, Stationary.FILTERS)])[0] == (0, 1, 1, 42)


def test_matmul_short_streams_last_as_long_as_the_accumulator_needs() -> None:
    # 2 x 8: 8 standing pixels, load 2; one filter streams, 4 cycles each; 3 slices.
    # S = 3, 7, 11; stream_end = 15; e = 15 + 2 + 8 + 4.
    assert times(arch_of(2, 8), [matmul(8, 1, 6, Stationary.PIXELS)])[0] == (0, 1, 1, 29)


def test_matmul_waits_for_a_slow_load() -> None:
    # One vector a load cycle: load 8 > T = 5. S = 1 + 8, 17; stream_end = 22; e = 22 + 4 + 8 + 4.
    assert times(arch_of(4, 8, load_vectors=1), [matmul(5, 8, 8, Stationary.FILTERS)])[0] == (0, 1, 1, 38)


def test_next_matmul_loads_while_the_last_stream_runs_unless_it_needs_the_other_buffer() -> None:
    same, other = matmul(7, 4, 4, Stationary.FILTERS), matmul(4, 6, 4, Stationary.PIXELS)
    # First: S = 2, stream_end 9, e 21. Same side: s = shadow_free = 2 (but dispatch 1 + 1 = 2), S = 9, end 16, e 28.
    # Other side: s = stream_end = 16, S = 17, T = 6: stream_end 23, e = 23 + 12.
    expected = [(0, 1, 1, 21), (1, 2, 2, 28), (2, 16, 16, 35)]
    assert times(arch_of(4, 4), [same, same, other])[:3] == expected


def test_matmul_without_work_completes_with_the_one_before() -> None:
    work, empty = matmul(7, 4, 4, Stationary.FILTERS), matmul(7, 0, 4, Stationary.FILTERS)
    assert times(arch_of(4, 4), [empty, work, empty])[:3] == [(0, 1, 1, 2), (1, 2, 2, 22), (2, 3, 3, 22)]


def test_matmul_loads_filters_of_a_table_one_by_one() -> None:
    image = Image()
    image.add(np.array([1, 3, 6, 0, 0, 0, 0, 0], "<u2"))
    table = row(Opcode.LOAD, space=Space.TABLE, address=2, rows=1, row_beats=1, count=3)
    listed = matmul(7, 9, 4, Stationary.FILTERS, filter_table=2)
    listed[1:3] = Unit.LOAD, 1
    # The table: s = 1, E = 12, e = 16. Load 3: S = 19; stream_end = 26; e = 38.
    assert times(arch_of(4, 4), [table, listed], image)[:2] == [(0, 1, 1, 16), (1, 16, 16, 38)]


def epilogue(pixels: int, filters: int, kind: EpilogueKind, standing: Stationary, **fields: int) -> Row:
    sizes = {"tile": 1, "tile_count": pixels, "pixel_count": pixels, "filter_count": filters}
    shape = {"out_height": 8, "out_width": 8, "channels": 40, "pool_address": 3000, "parameters": 1, "grid_width": 8}
    return row(Opcode.EPILOGUE, kind=kind, stationary=standing, **{**sizes, **shape, **fields})


STORE, REDUCE, RAW, THRESHOLD = EpilogueKind.STORE, EpilogueKind.REDUCE, EpilogueKind.REDUCE_RAW, EpilogueKind.THRESHOLD
FILTERS, PIXELS = Stationary.FILTERS, Stationary.PIXELS
TILES = {"tile": 2, "tile_count": 3}

EPILOGUES = [
    # 4 columns. (pixels, filters, kind, stationary, fields, preload, cycles)
    (7, 3, STORE, FILTERS, {}, 3, 7),
    (7, 6, STORE, FILTERS, {}, 4, 7 + 2 + 7),
    (7, 6, STORE, FILTERS, {"residual": 1}, 4, 14 + 2 + 14),
    (12, 6, STORE, FILTERS, {"pool": 1, **TILES}, 4, 12 + 3 + 2 + 12 + 3),
    (12, 7, STORE, FILTERS, {"pool": 1, "residual": 1, **TILES}, 4, 24 + 3 + 3 + 24 + 3),
    (6, 20, STORE, PIXELS, {}, 0, (16 + 4) + (4 + 4) + (16 + 2) + (4 + 2)),
    (7, 6, REDUCE, FILTERS, {}, 4, 8 + 2 + 8),
    (7, 4, RAW, FILTERS, {}, 4, 8),
    (1, 9, THRESHOLD, FILTERS, {}, 4, 1 + 4 + 1 + 1 + 1),
    (9, 1, THRESHOLD, PIXELS, {}, 1, 3),
    (0, 9, STORE, FILTERS, {}, 0, 0),
    (3, 0, REDUCE, FILTERS, {}, 0, 0),
]


@pytest.mark.parametrize(("pixels", "filters", "kind", "standing", "fields", "preload", "cycles"), EPILOGUES)
def test_epilogue_is_preload_then_its_blocks_then_its_latency(
    pixels: int,
    filters: int,
    kind: EpilogueKind,
    standing: Stationary,
    fields: dict[str, int],
    preload: int,
    cycles: int,
) -> None:
    one = epilogue(pixels, filters, kind, standing, **fields)
    run = 1 + preload
    end = run + cycles + 13
    again = end + preload
    expected = [(0, 1, run, end), (1, end, again, again + cycles + 13)]
    image = Image()
    image.add(np.tile(np.array([0, 0, 0, 0, 1, 0, 1, 0], np.uint8), 64))
    parameters = row(Opcode.LOAD, space=Space.PARAMETERS, rows=1, row_beats=32)
    barrier = row(Opcode.EXIT, [(Unit.LOAD, 1)], mask=0)
    found = times(arch_of(4, 4), [parameters, barrier, one, one], image)[2:4]
    offset = found[0][0]
    assert [tuple(t - offset for t in record) for record in found] == expected


def test_epilogue_reads_parameters_before_it_looks_at_its_waits() -> None:
    ones = dict.fromkeys(("kernel_height", "kernel_width", "stride", "channels", "tile"), 1)
    gather = row(Opcode.GATHER, height=8, width=8, out_width=8, tile_count=30, patch_vectors=32, **ones)
    waiting = epilogue(7, 4, RAW, FILTERS)
    waiting[1:3] = Unit.GATHER, 1
    # GATHER: 1 + 30 + 8. EPILOGUE: s = 2, preload ends at 6; r = 39; e = 39 + 8 + 13.
    assert times(arch_of(4, 4), [gather, waiting])[:2] == [(0, 1, 1, 39), (1, 2, 39, 60)]


def test_index_takes_a_cycle_for_each_one_and_for_each_empty_word() -> None:
    # 50 bits of a cleared mask: 4 empty words; its complement: 50 ones.
    zeros = row(Opcode.INDEX, mask=3, bits=50, table=0)
    ones = row(Opcode.INDEX, mask=3, bits=50, table=1, complement=1, grid_width=7)
    nothing = row(Opcode.INDEX, mask=3, bits=0, table=0)
    expected = [(0, 1, 1, 8), (1, 8, 8, 61), (2, 61, 61, 64)]
    assert times(arch_of(4, 4), [zeros, ones, nothing])[:3] == expected


def test_store_takes_its_bursts_gaps_and_the_way_back() -> None:
    image = Image()
    image.reserve(4096 + 64)
    store = row(Opcode.STORE, dram_address=4096 - 48, address=0, beats=5)
    # FAST: 4 + (3 + 2) + (2 + 2) + 10. SLOW: 4 + (5 + 1) + (3 + 1) + 5. Nothing: 4 + 10.
    assert times(arch_of(4, 4), [store], image)[0] == (0, 1, 1, 1 + 23)
    assert times(arch_of(4, 4, SLOW_DRAM), [store], image)[0] == (0, 1, 1, 1 + 19)
    assert times(arch_of(4, 4), [row(Opcode.STORE)])[0] == (0, 1, 1, 1 + 14)


def test_dispatch_stalls_at_a_full_queue() -> None:
    # Queue of 2; each INDEX takes 1 + 3 cycles from its start. Starts 1, 5, 9, 13, 17.
    # d(2) > s(0) = 1; d(3) > s(1) = 5; d(4) > s(2) = 9.
    index = row(Opcode.INDEX, mask=0, bits=16, table=0)
    found = times(arch_of(4, 4, queue_depth=2), [index] * 5)
    assert [(d, s) for d, s, _, _ in found[:5]] == [(0, 1), (1, 5), (2, 9), (6, 13), (10, 17)]


def test_exit_not_taken_costs_a_turn_and_waits_hold_the_sequencer() -> None:
    index = row(Opcode.INDEX, mask=0, bits=16, table=0)
    free, held = row(Opcode.EXIT, mask=0, bit=1), row(Opcode.EXIT, [(Unit.INDEX, 1)], mask=0, bit=1)
    # INDEX: s = 1, e = 5. The second EXIT is at 5, the next dispatch at 6, its e at 7 + 4.
    expected = [(0, 1, 1, 5), (1, 1, 1, 2), (5, 5, 5, 6), (6, 7, 7, 11), (11, 11, 11, 12)]
    assert times(arch_of(4, 4), [index, free, held, index]) == expected


def test_next_goes_on_after_the_fetch_latency() -> None:
    arch = PRESETS["4x4"]
    index = row(Opcode.INDEX, mask=0, bits=16, table=0)
    result = step_simulate(make_program(arch, [index] * 6, page_size=5))
    names = [str(Opcode(int(o)).name) for o in make_program(arch, [index] * 6, page_size=5).code[:, 0]]
    at = names.index("NEXT")
    records = result.trace.records
    assert records["dispatch"][at] == records["done"][0]
    assert records["done"][at] == records["dispatch"][at] + 1
    assert records["dispatch"][at + 1] == records["dispatch"][at] + 2
