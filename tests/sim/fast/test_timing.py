"""The cycles of each instruction, worked out by hand from the machine's document."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gatewright.contract.arch import DramConfig
from gatewright.contract.isa import Opcode, Space, Unit
from gatewright.verify.kit.generate.operands import parameters
from gatewright.verify.kit.programs import Image, Row, row
from tests.sim.fast.cycles import ARCH, run, times

FAST = replace(ARCH, dram=DramConfig(latency=10, beats=1, per_cycles=1, burst_gap=2, outstanding=2))
PIXELS = {"tile": 1, "tile_count": 1000, "filter_count": 1}


def matmul(pixels: int, filters: int, slices: int, waits: list[tuple[Unit, int]] | None = None, **fields: int) -> Row:
    fields = {**PIXELS, "pixel_count": pixels, "filter_count": filters, **fields}
    return row(
        Opcode.MATMUL,
        waits or [],
        taps=slices,
        channels=16,
        slice_count=slices,
        patch_vectors=64,
        weight_vectors=64,
        **fields,
    )


def test_a_shared_channel() -> None:
    """A LOAD and a STORE with addresses in one cycle, and a LOAD behind both: read, write, read."""
    arch = replace(FAST, dram=replace(FAST.dram, shared=True))
    image = Image()
    image.reserve(1024)
    delay = [row(Opcode.INDEX, bits=16, table=1, grid_width=1)] * 4
    rows = [
        row(Opcode.LOAD, rows=1, row_beats=20),
        *delay,
        row(Opcode.STORE, dram_address=512, address=4096, beats=4),
        row(Opcode.LOAD, address=8192, rows=1, row_beats=3),
    ]
    result = run(rows, arch, image)
    # Boot: 8 instructions, 24 beats: address 5, data 15 to 39, done 47, first dispatch 59.
    # s = 59 + 7, a = 71, b = 81, E = 101.
    assert times(result, 0) == (59, 66, 66, 101 + 8)
    # s = 64 + 7 = w; b = max(71 + 6, 101 + 2) = 103, E = 107; gap 2, latency 10, and 2 back.
    assert times(result, 5) == (64, 71, 71, 107 + 2 + 10 + 2)
    # Head from 67 on, s = 73; a = 78, b = max(88, 107 + 2) = 109, E = 112.
    assert times(result, 6) == (65, 73, 73, 112 + 8)
    assert result.cycles == 122
    apart = run(rows, FAST, image)
    assert times(apart, 5) == (64, 71, 71, 71 + 8 + 4 + 2 + 10)
    assert times(apart, 6) == (65, 73, 73, 101 + 2 + 3 + 8)


def test_load_bursts() -> None:
    """A row across 4 KiB, a second LOAD behind it, and at most two bursts in flight."""
    image = Image()
    image.reserve(4096 * 2)
    rows = [
        row(Opcode.LOAD, dram_address=4096 - 64, rows=1, row_beats=10),  # bursts of 4 and 6 beats
        row(Opcode.LOAD, dram_address=0, rows=2, row_beats=3, row_stride=64),
        row(Opcode.LOAD, dram_address=0, rows=0, row_beats=3),
    ]
    result = run(rows, FAST, image)
    # Boot: 4 instructions, 12 beats: address 5, data 15 to 27, done 35, first dispatch 47.
    # s = 47 + 7, a = 59, b = 69, E = 73; a = 60, b = max(70, 73 + 2) = 75, E = 81; free = 61.
    assert times(result, 0) == (47, 54, 54, 81 + 8)
    # Head from 55 on, s = 61; a = max(66, E two before = 73) = 73, b = max(83, 81 + 2) = 83, E = 86;
    # a = max(74, 81) = 81, b = max(91, 86 + 2) = 91, E = 94.
    assert times(result, 1) == (48, 61, 61, 94 + 8)
    # Without rows: starts once the address channel is free, done a cycle after the LOAD before.
    assert times(result, 2) == (49, 82, 82, 103)
    assert result.cycles == 104
    assert result.work["bursts"].tolist() == [2, 2, 0, 0]
    assert result.work["bytes"].tolist() == [160, 96, 0, 0]
    assert result.work["cycles"].tolist() == [10, 6, 0, 0]


def test_dram_rate() -> None:
    """5 beats at 3 in 4 cycles take ceil(20 / 3) = 7; two units' instructions dispatch in turn."""
    image = Image()
    image.reserve(80)
    result = run([row(Opcode.LOAD, rows=1, row_beats=5)], ARCH, image)
    # Boot: 6 beats, 8 cycles: done 85, dispatch 97.
    assert times(result, 0) == (97, 104, 104, 104 + 5 + 64 + 7 + 8)


@pytest.mark.parametrize(("channels", "per_row"), [(16, 1), (17, 2), (32, 2), (33, 3), (1, 1)])
def test_gather(channels: int, per_row: int) -> None:
    """Two 4 x 4 tiles of a 3 x 3 kernel: 3 runs a vector, each ceil(3 * C / 48) cycles, latency 8."""
    result = run(
        [
            row(
                Opcode.GATHER,
                height=8,
                width=8,
                channels=channels,
                kernel_height=3,
                kernel_width=3,
                stride=1,
                padding_y=1,
                padding_x=1,
                out_width=8,
                tile=4,
                tile_count=2,
                patch_vectors=32,
            )
        ]
    )
    _, start, begun, done = times(result, 0)
    assert start == begun == 104
    assert done == 104 + 2 * 16 * 3 * per_row + 8


def test_matmul_sequence() -> None:
    """40 filters in blocks of 16, 16, 8; loads of 4, 4, 2 hide behind streams of 10; then both orders."""
    rows = [matmul(10, 40, 3), matmul(10, 40, 3), matmul(10, 40, 3, stationary=1), matmul(2, 8, 2, filter_count=0)]
    result = run(rows)
    # Boot: 15 beats, 20 cycles: done 97, dispatch 109. S(0) = 116 + 4, 9 tiles of 10.
    assert times(result, 0) == (109, 116, 116, 120 + 90 + 38)
    # The next loads when the last stream begins (200), and streams when it ends (210).
    assert times(result, 1) == (110, 200, 200, 210 + 90 + 38)
    # Pixels stand: 1 block, load 3, 3 slices of 40, but not before the stream has ended (300).
    assert times(result, 2) == (111, 300, 300, 300 + 3 + 120 + 38)
    # Without work: once the shadow registers are free, whatever streams and stands. Done a cycle later.
    last_stream = 303 + 80
    assert times(result, 3) == (112, last_stream, last_stream, 462)
    assert result.work["macs"].tolist() == [10 * 40 * 48] * 3 + [0, 0]
    assert result.work["load_bound"].tolist() == [0] * 5


def test_matmuls_without_work_wait_for_a_place_in_the_order() -> None:
    """4 + ceil(38 / 7) = 10 places."""
    result = run([matmul(64, 16, 1), *(11 * [matmul(2, 8, 2, filter_count=0)])])
    begin = times(result, 0)[1]
    # A load of 4, a stream of 64. Nine without work are taken while it lasts, 7 cycles apart, and complete behind it.
    done = begin + 4 + 64 + 38
    assert times(result, 0)[3] == done
    for number in range(1, 10):
        start = begin + 7 * number
        assert times(result, number)[1:] == (start, start, done + number)
    # The next one starts when the first is complete, and that behind it 7 cycles later.
    assert times(result, 10)[1:] == (done, done, done + 10)
    assert times(result, 11)[1:] == (done + 7, done + 7, done + 11)


def test_matmul_waits_for_its_loads() -> None:
    """Short streams: 1 pixel counts as 4 cycles; filters by table load one a cycle."""
    image = Image()
    table = image.add(np.arange(40, dtype="<u2"))
    load = row(Opcode.LOAD, space=Space.TABLE, dram_address=table, rows=1, row_beats=5, address=0, count=40)
    rows = [load, matmul(1, 40, 2, [(Unit.LOAD, 1)], filter_table=0), matmul(1, 40, 2, accumulator=5)]
    result = run(rows, ARCH, image)
    begun = times(result, 0)[3]
    # Loads 16, 16 | 16, 16 | 8, 8: the first shows whole, three of 16 and two of 8 instead of 4 behind streams.
    assert times(result, 1)[2:] == (begun, begun + 16 + 3 * 16 + 2 * 8 + 4 + 38)
    assert result.work["load_bound"].tolist() == [0, 3 * 12 + 2 * 4, 0, 0]
    # By order: 4 a cycle, never longer than the stream's 4.
    last_begin = begun + 16 + 3 * 16 + 2 * 8
    assert times(result, 2)[1:] == (last_begin, last_begin, last_begin + 4 + 6 * 4 + 38)


def epilogue(pixels: int, filters: int, waits: list[tuple[Unit, int]] | None = None, **fields: int) -> Row:
    fields = {**PIXELS, "pixel_count": pixels, "filter_count": filters, "channels": 64, "parameters": 1, **fields}
    return row(Opcode.EPILOGUE, waits or [], out_height=100, out_width=8, grid_width=8, pool_address=60000, **fields)


STORE, REDUCE, RAW, THRESHOLD = range(4)


@pytest.mark.parametrize(
    ("fields", "preload", "cycles"),
    [
        ({"pixels": 20, "filters": 40}, 16, 20 + (16 + 20) + (8 + 20)),
        ({"pixels": 20, "filters": 12}, 12, 20),
        ({"pixels": 20, "filters": 40, "residual": 1}, 16, 40 + (16 + 40) + (8 + 40)),
        ({"pixels": 8, "filters": 20, "pool": 1, "tile": 2, "tile_count": 2}, 16, (8 + 2) + (4 + 8 + 2)),
        ({"pixels": 20, "filters": 40, "stationary": 1}, 0, 3 * (16 + 4) + 2 * (16 + 16 + 8)),
        ({"pixels": 20, "filters": 40, "kind": REDUCE}, 16, 21 + 16 + 21 + 8 + 21),
        ({"pixels": 20, "filters": 3, "kind": RAW}, 3, 21),
        ({"pixels": 1, "filters": 40, "kind": THRESHOLD}, 16, 1 + (16 + 1) + (8 + 1)),
        ({"pixels": 40, "filters": 1, "kind": THRESHOLD, "stationary": 1}, 1, 3),
        ({"pixels": 0, "filters": 40}, 0, 0),
        ({"pixels": 20, "filters": 0, "stationary": 1}, 0, 0),
    ],
)
def test_epilogue(fields: dict[str, int], preload: int, cycles: int) -> None:
    """Parameters of the first block, and 10 cycles of setup, before the waits; then blocks; latency 15.

    The first of the two starts 8 cycles before the barrier is complete.
    """
    image = Image()
    address = image.add(parameters([(0, 1, 1)] * 44))
    barrier = epilogue(0, 0, [(Unit.LOAD, 1)])
    rows = [
        row(Opcode.LOAD, space=Space.PARAMETERS, dram_address=address, rows=1, row_beats=22),
        barrier,
        epilogue(**fields),
        epilogue(**fields),
    ]
    result = run(rows, ARCH, image)
    free = times(result, 1)[3] - 8
    before = max(preload, 10) if cycles else 0
    assert times(result, 2)[1:] == (free, free + before, free + before + cycles + 15)
    # Waits that are met late leave the preload behind.
    late = [*rows[:3], epilogue(waits=[(Unit.INDEX, 1)], **fields)]
    late.insert(1, row(Opcode.INDEX, bits=512 * 16, table=1, waits=[(Unit.LOAD, 1)]))
    result = run(late, ARCH, image)
    index_done = times(result, 1)[3]
    assert index_done - times(result, 1)[2] == 512 + 12
    start, begun, done = times(result, 4)[1:]
    assert start < index_done - 200
    assert (begun, done) == (index_done, index_done + cycles + 15)


def test_index_counts_words_and_groups() -> None:
    """An empty mask costs a cycle a word, its complement one for four entries; 20 bits are two words."""
    result = run([row(Opcode.INDEX, bits=20), row(Opcode.INDEX, bits=20, complement=1), row(Opcode.INDEX)])
    # Boot: 12 beats, 16 cycles: done 93, dispatch 105.
    assert times(result, 0) == (105, 112, 112, 112 + 2 + 12)
    assert times(result, 1) == (106, 126, 126, 126 + 5 + 12)
    assert times(result, 2) == (107, 143, 143, 143 + 0 + 12)


def test_index_of_a_range() -> None:
    """Of 40 bits the first 16 are a word that is passed over; of the next, three groups are listed, then two."""
    result = run([row(Opcode.INDEX, bits=40, complement=1, first_bit=20)])
    begun, done = times(result, 0)[2:]
    assert done - begun == 1 + 3 + 2 + 12


def test_store() -> None:
    """Bursts of 4 and 6 beats: 8, the data at 3 in 4 with a gap each, 64 for the response."""
    image = Image()
    image.reserve(8192)
    result = run([row(Opcode.STORE, dram_address=4096 - 64, beats=10), row(Opcode.STORE)], ARCH, image)
    begun, done = times(result, 0)[2:]
    assert done - begun == 8 + (6 + 1) + (8 + 1) + 64
    assert times(result, 1)[1:] == (done, done, done + 8 + 64)
