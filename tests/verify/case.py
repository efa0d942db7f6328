"""A small program for the tests of the bench: bytes into the scratchpad and out, over a 4 KiB boundary of DRAM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gatewright.contract.arch import PRESETS, ArchConfig, DramConfig
from gatewright.contract.isa import NO_TABLE, Opcode, Space, Unit
from gatewright.contract.program import Program
from gatewright.verify.expectations import Expectation, WriteSequence, expect
from gatewright.verify.kit.programs import Image, make_program, row

ARCH = replace(PRESETS["4x4"], scratchpad_kib=16)


def copy_program(seed: int, arch: ArchConfig = ARCH, rows: int = 3, row_beats: int = 17) -> Program:
    """LOAD ``rows`` rows, STORE half of them, LOAD again behind it, STORE everything."""
    beats = rows * row_beats
    image = Image()
    source = image.add(np.random.default_rng(seed).integers(0, 256, 16 * beats).astype(np.uint8))
    image.reserve(4096 - 64 - len(image.array()) % 4096)
    target = image.reserve(2 * 16 * beats)
    load = {"space": Space.SCRATCHPAD, "dram_address": source, "rows": rows, "row_beats": row_beats}
    load |= {"row_stride": 16 * row_beats, "row_table": NO_TABLE}
    return make_program(
        arch,
        [
            row(Opcode.LOAD, [], **load, address=0x20),
            row(Opcode.STORE, [(Unit.LOAD, 1)], dram_address=target, address=0x20, beats=beats // 2),
            row(Opcode.LOAD, [(Unit.STORE, 1)], **load, address=0x1000),
            row(Opcode.STORE, [(Unit.LOAD, 2)], dram_address=target + 16 * beats, address=0x1000, beats=beats),
        ],
        image,
        output_region=(target, 64),
    )


def expected(seed: int, arch: ArchConfig = ARCH) -> Expectation:
    return expect(copy_program(seed, arch))


def with_writes_of(expectation: Expectation, *units: Unit) -> Expectation:
    """The same, but LOAD's writes count as those of several units: sequences for the monitor to keep apart."""
    assert expectation.writes is not None
    load, parts = expectation.writes.scratchpad[Unit.LOAD], {}
    size = -(-len(load) // len(units))
    for number, unit in enumerate(units):
        at = slice(number * size, (number + 1) * size)
        parts[unit] = WriteSequence(load.addresses[at], load.counts[at], load.data[at], load.instructions[at])
    return replace(expectation, writes=replace(expectation.writes, scratchpad=parts))


def with_epilogue_writes(expectation: Expectation) -> Expectation:
    """The same, but half of LOAD's writes count as EPILOGUE's."""
    return with_writes_of(expectation, Unit.LOAD, Unit.EPILOGUE)


SLOW_DRAM = DramConfig(latency=9, beats=2, per_cycles=5, burst_gap=3, outstanding=2)
