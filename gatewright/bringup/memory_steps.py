"""Steps of the self-test that go through every word of a memory, with a random filling and with its complement.

What each gives depends on every bit that it looks at: a wrong one changes a byte. ``Script`` says how they run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gatewright.bringup.instructions import (
    Bytes,
    Numbers,
    gather,
    load_filters,
    load_parameters,
    pick_rows,
    product,
    write,
)
from gatewright.bringup.script import Script
from gatewright.contract.arch import ACCUMULATOR_BANKS, BEAT_BYTES
from gatewright.contract.encodings import LOGIT_BYTES, REGION_UNIT, TABLE_ENTRIES_PER_BEAT
from gatewright.contract.isa import EpilogueKind, Opcode, Space

MOST_CHANNELS = 8000
"""Of a map that is gathered whole: the field has 13 bits."""

MOST_PIXELS = 512
"""Of a product: the fields have 10 bits."""

PIECES = 64
"""Pixels that a step gives one by one."""


def fillings(rng: np.random.Generator, size: int) -> Iterator[tuple[str, Bytes]]:
    """Random bytes, and their complement, each with a word for the outputs' names."""
    values = rng.integers(-128, 128, size, np.int8)
    yield "", values
    yield ".complement", ~values


def odd(rng: np.random.Generator, size: tuple[int, ...]) -> Bytes:
    """Random odd int8: a product with one tells every other value of its partner apart."""
    return (rng.integers(-64, 64, size) * 2 + 1).astype(np.int8)


def _down(value: int, unit: int) -> int:
    return value // unit * unit


def scratchpad(script: Script, rng: np.random.Generator) -> None:
    """Every byte by LOAD, and back by STORE."""
    size = script.arch.scratchpad_bytes
    for word, values in fillings(rng, size):
        script.load(Space.SCRATCHPAD, script.data(values), size)
        half = size // 2
        for number, first in enumerate((0, half)):
            script.store(f"scratchpad.{number}{word}", first, half)


def patch_buffer(script: Script, rng: np.random.Generator) -> None:
    """Every word by GATHER; each byte multiplied by an odd number, each pixel's sums as they are."""
    arch = script.arch
    half, filters = arch.scratchpad_bytes // 2, arch.columns
    region = -(-filters // 4) * 4
    pixels = _down(min(PIECES, arch.patch_words, half // (LOGIT_BYTES * filters), arch.accumulator_depth), 4)
    pixels = next(n for n in range(pixels, 0, -4) if arch.patch_words % n == 0)
    most = min(arch.patch_words // pixels, half // (pixels * arch.rows), arch.weight_words // region)
    slices = min(most, MOST_CHANNELS // arch.rows)
    load_filters(script, odd(rng, (filters, slices, arch.rows)), region)
    load_parameters(script, np.zeros(filters, np.int64), 1, 1)
    for part, base in enumerate(range(0, arch.patch_words, pixels * slices)):
        channels = min(slices, (arch.patch_words - base) // pixels) * arch.rows
        for word, values in fillings(rng, pixels * channels):
            script.load(Space.SCRATCHPAD, script.data(values), pixels * channels)
            base_unit = base // REGION_UNIT
            gather(script, 0, pixels, channels, pixels, patch_base=base_unit)
            product(script, pixels, filters, channels, (pixels, region), patch_base=base_unit)
            for pixel in range(pixels):
                place = half + pixel * LOGIT_BYTES * filters
                write(script, EpilogueKind.REDUCE_RAW, place, 1, filters, accumulator=pixel)
            script.store(f"patch_buffer.{part}{word}", half, pixels * LOGIT_BYTES * filters)


def weight_buffer(script: Script, rng: np.random.Generator) -> None:
    """Every word by LOAD; each byte multiplied by an odd number, each filter's sum as it is."""
    arch = script.arch
    half = arch.scratchpad_bytes // 2
    most = min(MOST_CHANNELS // arch.rows, arch.patch_words // 4, half // arch.rows)
    filters = min(arch.accumulator_depth * arch.columns, half // LOGIT_BYTES, arch.parameter_entries, 1024)
    # A divisor of the memory's words, so that no word is left over.
    slices = next(
        n for n in range(max(1, min(most, arch.weight_words // 16)), 0, -1) if arch.weight_words % (4 * n) == 0
    )
    filters = _down(min(filters, arch.weight_words // slices), 4)
    channels = slices * arch.rows
    script.load(Space.SCRATCHPAD, script.data(odd(rng, (channels,))), channels)
    gather(script, 0, 1, channels, 4)
    load_parameters(script, np.zeros(filters, np.int64), 1, 1)
    for part, base in enumerate(range(0, arch.weight_words - 3, filters * slices)):
        count = _down(min(filters, (arch.weight_words - base) // slices), 4)
        for word, values in fillings(rng, count * channels) if count else ():
            load_filters(script, values.reshape(count, slices, arch.rows), count, base)
            product(script, 1, count, channels, (4, count), weight_base=base // REGION_UNIT)
            write(script, EpilogueKind.REDUCE_RAW, half, 1, count)
            script.store(f"weight_buffer.{part}{word}", half, count * LOGIT_BYTES)


def accumulators(script: Script, rng: np.random.Generator) -> None:
    """Every entry of every bank: the low eight bits as they are, and the upper ones of larger sums.

    An int8 times 1, then sums of products of int8; what lies above the latter's bits are copies of the sign.
    """
    arch = script.arch
    half, filters = arch.scratchpad_bytes // 2, arch.columns
    region = -(-filters // 4) * 4
    most = min(MOST_PIXELS, arch.accumulator_depth, arch.patch_words, half // filters)
    pixels = _down(min(most, (half - ACCUMULATOR_BANKS * BEAT_BYTES) // arch.rows), 4)
    one = np.zeros((filters, 1, arch.rows), np.int8)
    one[np.arange(filters), 0, np.arange(filters) % arch.rows] = 1
    for name, weights, shift in (("low", one, 15), ("high", odd(rng, one.shape), 24)):
        load_filters(script, weights, region)
        load_parameters(script, np.zeros(filters, np.int64), 1 << 15, shift)
        for part, base in enumerate(range(0, arch.accumulator_depth, pixels)):
            count = min(pixels, arch.accumulator_depth - base)
            for word, values in fillings(rng, pixels * arch.rows + ACCUMULATOR_BANKS * BEAT_BYTES):
                script.load(Space.SCRATCHPAD, script.data(values), len(values))
                for bank in range(ACCUMULATOR_BANKS):
                    gather(script, bank * BEAT_BYTES, count, arch.rows, pixels)
                    product(script, count, filters, arch.rows, (pixels, region), accumulator=base, bank=bank)
                for bank in range(ACCUMULATOR_BANKS):
                    write(script, EpilogueKind.STORE, half, count, filters, accumulator=base, bank=bank)
                    script.store(f"accumulators.{name}.{part}.bank{bank}{word}", half, count * filters)


def parameters(script: Script, rng: np.random.Generator) -> None:
    """Every entry: biases as they are; multipliers and shifts by what they make of a bias."""
    arch = script.arch
    half, entries = arch.scratchpad_bytes // 2, arch.parameter_entries
    channels = arch.rows
    blocks = min(arch.accumulator_depth, half // (LOGIT_BYTES * arch.columns), arch.weight_words // arch.columns)
    filters = _down(min(blocks * arch.columns, entries), 4)
    script.load(Space.SCRATCHPAD, script.data(np.zeros(channels, np.int8)), channels)
    gather(script, 0, 1, channels, 4)
    load_filters(script, odd(rng, (filters, 1, arch.rows)), filters)
    product(script, 1, filters, channels, (4, filters))  # of zeros: what is left is the parameters' own
    ones = np.ones(entries, np.int64)
    small = rng.permutation(entries) % 128
    bias = rng.integers(-(1 << 31), 1 << 31, entries)
    # Odd, and such that neither half nor twice of it saturates.
    value = (rng.integers(1, 31, entries) * 2 + 1) * rng.choice((-1, 1), entries)
    shifts, high = rng.integers(9, 23, entries), rng.integers(32, 40, entries)
    raw, byte = EpilogueKind.REDUCE_RAW, EpilogueKind.STORE
    fills: list[tuple[str, EpilogueKind, Numbers, Numbers, Numbers]] = [
        ("bias", raw, bias, small, shifts),
        ("bias.complement", raw, ~bias, small, shifts),
        *(
            (f"multiplier.{name}{word}", byte, double * ones, filling << place, (place + double - 1) * ones)
            for name, place, double in (("low", 0, 2), ("middle", 5, 1), ("high", 9, 1))
            for word, filling in (("", small), (".complement", 127 - small))
        ),
        ("shift", byte, value << shifts, ones, shifts),
        ("shift.complement", byte, value << (31 - shifts), ones, 31 - shifts),
        ("shift.high", byte, value << (high - 15), ones << 15, high),
    ]
    for name, kind, biases, multipliers, shift in fills:
        load_parameters(script, biases, multipliers, shift)
        for part, first in enumerate(range(0, entries, filters)):
            count = min(filters, entries - first)
            write(script, kind, half, 1, count, parameters=first)
            size = count * (LOGIT_BYTES if kind == EpilogueKind.REDUCE_RAW else 1)
            script.store(f"parameters.{name}.{part}", half, size)


def tables(script: Script, rng: np.random.Generator) -> None:
    """Every entry of every table: each picks a row of DRAM, in the order of a permutation, and of its complement."""
    arch = script.arch
    half = arch.scratchpad_bytes // 2
    entries = _down(arch.table_entries, TABLE_ENTRIES_PER_BEAT)
    beats = entries // TABLE_ENTRIES_PER_BEAT
    rows = script.data(rng.integers(-128, 128, (entries, BEAT_BYTES), np.int8))
    lists = [rng.permutation(entries) for _ in range(arch.tables)]
    for word, sign in (("", 1), (".complement", -1)):
        for number, numbers in enumerate(lists):
            filling = (numbers if sign > 0 else entries - 1 - numbers).astype("<u2")
            script.emit(
                Opcode.LOAD,
                space=Space.TABLE,
                dram_address=script.data(filling),
                address=number,
                rows=1,
                row_beats=beats,
                row_stride=beats * BEAT_BYTES,
                count=entries,
            )
        for number in range(arch.tables):
            for first in range(0, entries, half // BEAT_BYTES):
                count = min(entries - first, half // BEAT_BYTES)
                pick_rows(script, rows, half, count, number, first)
                script.store(f"tables.{number}.{first}{word}", half, count * BEAT_BYTES)
