"""Cycles of each instruction kind, worked out by hand from sections 4 and 5 of the machine's page.

Every expected number below is written as the sum that the page gives for that very case; none comes from
a simulator. Cycles count from the first dispatch. An instruction that waits for nothing comes to its queue's head a
cycle after its dispatch or after the start of the one before it, and starts 6 cycles (DECODE_LATENCY) later.
"""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Stationary, Unit
from gatewright.sim.stepped import SteppedMachine, step_simulate
from gatewright.verify.kit.programs import Image, Row, make_program, row
from tests.sim.stepped.cycles import SLOW_DRAM, arch_of, scratch_load, times


def test_load_is_latency_then_beats_then_its_own_latency() -> None:
    image = Image()
    image.reserve(64)
    # s = 7, a = 7 + 5, b = 22, E = 22 + 4, e = E + 8; END at x = 34.
    assert times(arch_of(4, 4), [scratch_load(4)], image) == [(0, 7, 7, 34), (34, 34, 34, 35)]


def test_an_instruction_is_decoded_at_the_head_of_its_queue() -> None:
    image = Image()
    image.reserve(64)
    # Free at a + 1 = 13, but the second comes to the head at 8: s = 14. a = 19, b = max(29, 23 + 2), E = 30.
    expected = [(0, 7, 7, 31), (1, 14, 14, 38)]
    assert times(arch_of(4, 4), [scratch_load(1), scratch_load(1)], image)[:2] == expected


def test_load_without_rows_completes_after_its_latency_and_then_frees_the_unit() -> None:
    empty = scratch_load(1, rows=0)
    assert times(arch_of(4, 4), [empty, empty]) == [(0, 7, 7, 15), (1, 15, 15, 23), (23, 23, 23, 24)]


def test_load_of_a_table_without_rows_sets_the_count_two_cycles_after_its_start() -> None:
    image = Image()
    image.add(np.arange(8, dtype="<u2"))
    load = row(Opcode.LOAD, space=Space.TABLE, address=1, rows=1, row_beats=1, count=8)
    clear = row(Opcode.LOAD, [(Unit.LOAD, 1)], space=Space.TABLE, address=1)
    program = make_program(arch_of(4, 4), [load, clear], image)
    machine, counts = SteppedMachine(program, program.image), []
    while not machine.sequencer.stopped:
        counts.append(machine.shared.tables.count(1))
        machine.step()
    loaded, cleared = (machine.sequencer.executed[i] for i in range(2))
    # The last beat is written two cycles after its arrival in E - 1, and e = E + 8.
    assert counts.index(8) == loaded.done - 6
    assert counts.index(0, counts.index(8)) == cleared.start + 2 == cleared.done - 6


def test_load_bursts_are_limited_by_outstanding_and_gaps() -> None:
    image = Image()
    image.reserve(4 * 32)
    # Rows of 2 beats, 2 bursts in flight. a = 12, 13; b0 = 22, E0 = 24; b1 = 26, E1 = 28.
    # a2 = E0 = 24, b2 = 34, E2 = 36; a3 = E1 = 28, b3 = 38, E3 = 40; e = 48. free = a3 + 1 = 29.
    # Without rows: e = max(29 + 8, 48 + 1).
    loads = [scratch_load(2, rows=4, row_stride=32), scratch_load(0, rows=1)]
    assert times(arch_of(4, 4), loads, image)[:2] == [(0, 7, 7, 48), (1, 29, 29, 49)]


def test_load_rows_split_at_4_kib_and_at_a_rational_rate() -> None:
    image = Image()
    image.reserve(4096 + 64)
    # 3 beats before the boundary, 2 behind it; 3 cycles for 2 beats. a = 12, 13; b0 = 17, E0 = 17 + 5 (ceil 4.5);
    # b1 = 22 + 1, E1 = 23 + 3; e = 26 + 8.
    load = scratch_load(5, dram_address=4096 - 48)
    assert times(arch_of(4, 4, SLOW_DRAM), [load], image)[0] == (0, 7, 7, 34)


@pytest.mark.parametrize(("rows", "channels", "pieces"), [(16, 5, 1), (4, 5, 2), (4, 11, 3)])
def test_gather_moves_one_piece_of_a_kernel_row_a_cycle(rows: int, channels: int, pieces: int) -> None:
    # 3 x 5 = 15 or 3 x 11 = 33 bytes a kernel row: 48 or 12 bytes a cycle. 2 tiles of 4 pixels, 3 kernel rows.
    sizes = {
        "height": 8,
        "width": 8,
        "channels": channels,
        "out_width": 8,
        "tile": 2,
        "tile_count": 2,
        "patch_vectors": 8,
    }
    gather = row(Opcode.GATHER, kernel_height=3, kernel_width=3, stride=1, padding_y=1, padding_x=1, **sizes)
    end = 7 + 2 * 4 * 3 * pieces + 8
    assert times(arch_of(rows, 4), [gather, gather])[:2] == [(0, 7, 7, end), (1, end, end, 2 * end - 7)]


@pytest.mark.parametrize(("tile", "kernel_height", "cycles"), [(1, 1, 8), (1, 3, 8), (2, 2, 8), (2, 3, 12), (3, 1, 9)])
def test_gather_spends_8_cycles_on_a_tile_of_a_table(tile: int, kernel_height: int, cycles: int) -> None:
    image = Image()
    image.add(np.array([0, 1, 256, 257, 0, 0, 0, 0], "<u2"))
    table = row(Opcode.LOAD, space=Space.TABLE, address=2, rows=1, row_beats=1, count=4)
    sizes = {"height": 8, "width": 8, "channels": 5, "out_width": 8, "tile": tile, "tile_count": 9, "patch_vectors": 36}
    shape = {"kernel_height": kernel_height, "kernel_width": 1, "stride": 1, "padding_y": 1}
    listed = row(Opcode.GATHER, [(Unit.LOAD, 1)], tile_table=2, first_tile=1, **shape, **sizes)
    # The table: s = 7, E = 23, e = 31. Three tiles are left from entry 1 on; a kernel row of 5 bytes is one piece.
    end = 31 + 3 * cycles + 8
    plain = row(Opcode.GATHER, **shape, **{**sizes, "tile_count": 3})
    after = end + 3 * tile * tile * kernel_height + 8
    expected = [(1, 31, 31, end), (2, end, end, after)]
    assert times(arch_of(4, 4), [table, listed, plain], image)[1:3] == expected


def test_gather_without_tiles_or_channels_costs_its_latency() -> None:
    gather = row(Opcode.GATHER, height=8, width=8, channels=0, kernel_height=3, kernel_width=3, tile=1, tile_count=4)
    assert times(arch_of(4, 4), [gather])[0] == (0, 7, 7, 15)


def matmul(pixels: int, filters: int, reduction: int, standing: Stationary, **fields: int) -> Row:
    sizes = {"tile": 1, "tile_count": pixels, "pixel_count": pixels, "filter_count": filters, "slice_count": 99}
    regions = {"patch_vectors": 32, "weight_vectors": 32, "taps": 1, "channels": reduction}
    return row(Opcode.MATMUL, stationary=standing, **{**sizes, **regions, **fields})


def test_matmul_overlaps_loads_with_streams() -> None:
    # 4 x 4, 4 vectors a load cycle. 6 filters: blocks of 4 and 2, each load 1; 2 slices; 7 pixels stream.
    # S = 7 + 1, then 3 more tiles of 7: last S = 29; stream_end = 36; e = 36 + 4 + 4 + 6.
    assert times(arch_of(4, 4), [matmul(7, 6, 8, Stationary.FILTERS)])[0] == (0, 7, 7, 50)


def test_matmul_short_streams_last_as_long_as_the_accumulator_needs() -> None:
    # 4 x 8: 8 standing pixels, load 2; one filter streams, 4 cycles each; 3 slices.
    # S = 9, 13, 17; stream_end = 21; e = 21 + 4 + 8 + 6.
    assert times(arch_of(4, 8), [matmul(8, 1, 12, Stationary.PIXELS)])[0] == (0, 7, 7, 39)


def test_matmul_waits_for_a_slow_load() -> None:
    # One vector a load cycle: load 8 > T = 5. S = 7 + 8, 23; stream_end = 28; e = 28 + 4 + 8 + 6.
    assert times(arch_of(4, 8, load_vectors=1), [matmul(5, 8, 8, Stationary.FILTERS)])[0] == (0, 7, 7, 46)


def test_next_matmul_loads_while_the_last_stream_runs_unless_it_needs_the_other_buffer() -> None:
    same, other = matmul(7, 4, 4, Stationary.FILTERS), matmul(4, 6, 4, Stationary.PIXELS)
    # First: S = 8, stream_end 15, e 29. Same side: shadow free at 8, head from 8 on: s = 14, S = 15, end 22, e 36.
    # Other side: s = stream_end = 22, S = 23, T = 6: stream_end 29, e = 29 + 14.
    expected = [(0, 7, 7, 29), (1, 14, 14, 36), (2, 22, 22, 43)]
    assert times(arch_of(4, 4), [same, same, other])[:3] == expected


def test_matmul_without_work_is_taken_while_another_streams_and_completes_behind_it() -> None:
    work, empty = matmul(20, 4, 4, Stationary.FILTERS), matmul(7, 0, 4, Stationary.PIXELS)
    # e = 7 + EMPTY_LATENCY 3. With work: s = 8 + 6, S = 15, stream_end 35, e = 49. Behind it: head from 15 on, s = 21,
    # e = 50; s = 28, e = 51. Work again: s = 35, S = 36, stream_end 56, e = 70.
    expected = [(0, 7, 7, 10), (1, 14, 14, 49), (2, 21, 21, 50), (3, 28, 28, 51), (4, 35, 35, 70)]
    assert times(arch_of(4, 4), [empty, work, empty, empty, work])[:5] == expected


def test_a_matmul_that_finds_no_place_in_the_order_waits_until_the_oldest_one_is_complete() -> None:
    work, empty = matmul(100, 4, 4, Stationary.FILTERS), matmul(7, 0, 4, Stationary.FILTERS)
    # 4 + ceil(14 / 7) = 6 places. s = 7, S = 8, stream_end 108, e = 122. Five without work: s = 14, 21, ..., 42;
    # e = 123, 124, ..., 127. The seventh MATMUL: s = 122, e = 128; the eighth: s = max(129, 123).
    expected = [(0, 7, 7, 122)]
    expected += [(number, 7 + 7 * number, 7 + 7 * number, 122 + number) for number in range(1, 6)]
    expected += [(6, 122, 122, 128), (7, 129, 129, 132)]
    assert times(arch_of(4, 4), [work] + 7 * [empty])[:8] == expected


def test_matmul_loads_filters_of_a_table_one_by_one() -> None:
    image = Image()
    image.add(np.array([1, 3, 6, 0, 0, 0, 0, 0], "<u2"))
    table = row(Opcode.LOAD, space=Space.TABLE, address=2, rows=1, row_beats=1, count=3)
    listed = matmul(7, 9, 4, Stationary.FILTERS, filter_table=2)
    listed[1:3] = Unit.LOAD, 1
    # The table: s = 7, E = 23, e = 31. Load 3: S = 34; stream_end = 41; e = 55.
    assert times(arch_of(4, 4), [table, listed], image)[:2] == [(0, 7, 7, 31), (1, 31, 31, 55)]


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
    before = max(preload, 10) if cycles else 0
    run = 7 + before
    end = run + cycles + 15
    # The next one starts 8 cycles before that, but behind a raw total. Decoded it is in cycle 7 + 1 + 6.
    free = max(end - (0 if kind == RAW and cycles else 8), 14)
    again = free + before
    expected = [(0, 7, run, end), (1, free, again, again + cycles + 15)]
    image = Image()
    image.add(np.tile(np.array([0, 0, 0, 0, 1, 0, 1, 0], np.uint8), 64))
    parameters = row(Opcode.LOAD, space=Space.PARAMETERS, rows=1, row_beats=32)
    barrier = row(Opcode.EXIT, [(Unit.LOAD, 1)])
    found = times(arch_of(4, 4), [parameters, barrier, one, one], image)[2:4]
    offset = found[0][0]
    assert [tuple(t - offset for t in record) for record in found] == expected


def test_epilogue_runs_once_a_long_preload_is_over() -> None:
    # 20 columns: 17 parameters take longer than the setup's 10 cycles. r = 7 + 17; e = 24 + 5 + 15.
    assert times(arch_of(4, 20), [epilogue(5, 17, STORE, FILTERS)])[0] == (0, 7, 24, 44)


def test_epilogue_reads_parameters_before_it_looks_at_its_waits() -> None:
    ones = dict.fromkeys(("kernel_height", "kernel_width", "stride", "channels", "tile"), 1)
    gather = row(Opcode.GATHER, height=8, width=8, out_width=8, tile_count=30, patch_vectors=32, **ones)
    waiting = epilogue(7, 4, RAW, FILTERS)
    waiting[1:3] = Unit.GATHER, 1
    # GATHER: 7 + 30 + 8. EPILOGUE: s = 8, setup ends at 18; r = 45; e = 45 + 8 + 15.
    assert times(arch_of(4, 4), [gather, waiting])[:2] == [(0, 7, 7, 45), (1, 8, 45, 68)]


def test_index_takes_a_cycle_for_each_group_with_ones_and_for_each_empty_word() -> None:
    # 50 bits of a cleared mask: 4 empty words; its complement: 50 ones in 13 groups of four.
    zeros = row(Opcode.INDEX, mask=3, bits=50, table=0)
    ones = row(Opcode.INDEX, mask=3, bits=50, table=1, complement=1, grid_width=7)
    nothing = row(Opcode.INDEX, mask=3, bits=0, table=0)
    expected = [(0, 7, 7, 7 + 4 + 12), (1, 23, 23, 23 + 13 + 12), (2, 48, 48, 48 + 12)]
    assert times(arch_of(4, 4), [zeros, ones, nothing])[:3] == expected


def test_index_of_a_range_passes_over_the_words_before_it() -> None:
    # The complement of a cleared mask: bits 20 to 49 are 3, 4 and 1 groups in three words; a word lies before.
    some = row(Opcode.INDEX, mask=3, bits=50, table=1, complement=1, grid_width=7, first_bit=20)
    nothing = row(Opcode.INDEX, mask=3, bits=50, table=0, complement=1, first_bit=50)
    expected = [(0, 7, 7, 7 + 9 + 12), (1, 28, 28, 28 + 4 + 12)]
    assert times(arch_of(4, 4), [some, nothing])[:2] == expected


def test_store_takes_its_bursts_gaps_and_the_way_back() -> None:
    image = Image()
    image.reserve(4096 + 64)
    store = row(Opcode.STORE, dram_address=4096 - 48, address=0, beats=5)
    # FAST: 8 + (3 + 2) + (2 + 2) + 10. SLOW: 8 + (5 + 1) + (3 + 1) + 5. Nothing: 8 + 10.
    assert times(arch_of(4, 4), [store], image)[0] == (0, 7, 7, 7 + 27)
    assert times(arch_of(4, 4, SLOW_DRAM), [store], image)[0] == (0, 7, 7, 7 + 23)
    assert times(arch_of(4, 4), [row(Opcode.STORE)])[0] == (0, 7, 7, 7 + 18)


def test_dispatch_stalls_at_a_full_queue() -> None:
    # Queue of 2; each INDEX takes 1 + 12 cycles from its start. Starts 7, 20, 33, 46, 59.
    # d(2) > s(0) = 7; d(3) > s(1) = 20; d(4) > s(2) = 33.
    index = row(Opcode.INDEX, mask=0, bits=16, table=0)
    found = times(arch_of(4, 4, queue_depth=2), [index] * 5)
    assert [(d, s) for d, s, _, _ in found[:5]] == [(0, 7), (1, 20), (8, 33), (21, 46), (34, 59)]


def test_exit_not_taken_costs_a_turn_and_waits_hold_the_sequencer() -> None:
    index = row(Opcode.INDEX, mask=0, bits=16, table=0)
    free, held = row(Opcode.EXIT), row(Opcode.EXIT, [(Unit.INDEX, 1)], count_table=0)
    # INDEX: s = 7, e = 7 + 13. The first EXIT is 3 cycles (CONTROL_LATENCY) into its turn, the second at 20, the next
    # dispatch at 21, its e at 28 + 13.
    expected = [(0, 7, 7, 20), (4, 4, 4, 5), (20, 20, 20, 21), (21, 28, 28, 41), (41, 41, 41, 42)]
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
    assert records["dispatch"][at + 1] == records["dispatch"][at] + 12
