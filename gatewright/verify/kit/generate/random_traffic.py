"""Random programs of LOADs and STOREs, with nothing else to do: the DRAM's channels are what counts.

STOREs are in the middle of the programs, beside LOADs before and behind them. Both have up to several bursts, and
INDEXes put them off by odd numbers of cycles.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, MASK_BITS, ArchConfig
from gatewright.contract.axi import BURST_BOUNDARY
from gatewright.contract.isa import Opcode, Space, Unit
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.random_machines import random_machine
from gatewright.verify.kit.programs import Image, Row, make_program, row

LENGTH = 30
"""Instructions of a program, without the pages' own."""

READ = 2 * BURST_BOUNDARY
"""Bytes that LOADs read from; nothing writes there."""

_UNITS = {Opcode.LOAD: Unit.LOAD, Opcode.STORE: Unit.STORE, Opcode.INDEX: Unit.INDEX}


def shared(arch: ArchConfig) -> ArchConfig:
    """The machine with one channel for reads and writes."""
    return replace(arch, dram=replace(arch.dram, shared=True))


def random_traffic(seed: int, arch: ArchConfig | None = None) -> tuple[Program, npt.NDArray[np.uint8]]:
    """A program for a machine, or for the one of the seed with a shared channel; and DRAM's bytes in front of the code.

    Every STORE has a place of its own in DRAM.
    """
    rng = np.random.default_rng([0x7AF, seed])
    arch = arch or shared(random_machine(seed))
    image = Image()
    data = rng.integers(0, 256, READ, dtype=np.uint8)
    source, words = image.add(data), data[: arch.scratchpad_bytes]
    rows = [row(Opcode.LOAD, space=Space.SCRATCHPAD, dram_address=source, rows=1, row_beats=len(words) // BEAT_BYTES)]
    counts = {Unit.LOAD: 1, Unit.STORE: 0, Unit.INDEX: 0}
    stored: list[tuple[int, npt.NDArray[np.uint8]]] = []
    for _ in range(LENGTH):
        opcode = list(_UNITS)[rng.choice(3, p=(0.5, 0.3, 0.2))]
        waits = [(Unit.LOAD, 1)] if opcode == Opcode.STORE else []
        for unit, count in counts.items():
            if count and len(waits) < 2 and rng.random() < 0.3:
                waits.append((unit, int(rng.integers(max(1, count - 3), count + 1))))
        if opcode == Opcode.STORE:
            beats = _beats(rng, len(words) // BEAT_BYTES)
            address = BEAT_BYTES * int(rng.integers(0, len(words) // BEAT_BYTES - beats + 1))
            target = _room(rng, image, beats)
            stored.append((target, words[address : address + beats * BEAT_BYTES]))
            rows.append(row(opcode, waits, dram_address=target, address=address, beats=beats))
        elif opcode == Opcode.INDEX:
            bits = int(rng.integers(1, min(MASK_BITS, arch.table_entries) + 1))
            rows.append(row(opcode, waits, bits=bits, table=1, complement=1, grid_width=16))
        else:
            rows.append(_load(rng, waits, arch, source))
        counts[_UNITS[opcode]] += 1
    program = make_program(arch, rows, image)
    expected = program.image[: program.code_address].copy()
    for target, data in stored:
        expected[target : target + len(data)] = data
    return program, expected


def _beats(rng: np.random.Generator, most: int) -> int:
    """None seldom, mostly a few, sometimes more than a burst holds."""
    return min(most, int(rng.choice([rng.integers(0, 4), rng.integers(1, 30), rng.integers(200, 400)])))


def _room(rng: np.random.Generator, image: Image, beats: int) -> int:
    """A place of so many beats, often with a multiple of 4 KiB in it."""
    if rng.integers(2):
        before = BEAT_BYTES * int(rng.integers(1, beats + 2))
        image.reserve((-before - image.reserve(0)) % BURST_BOUNDARY)
    return image.reserve(beats * BEAT_BYTES)


def _load(rng: np.random.Generator, waits: list[tuple[Unit, int]], arch: ArchConfig, source: int) -> Row:
    """Rows of which only the first beat is kept, so that any number fits; they begin anywhere in the first 4 KiB."""
    beats = max(1, _beats(rng, BURST_BOUNDARY // BEAT_BYTES))
    rows = int(rng.integers(0, min(4, arch.weight_words) + 1))
    fields = {"rows": rows, "row_beats": beats, "row_stride": BEAT_BYTES * int(rng.integers(0, 5))}
    address = source + BEAT_BYTES * int(rng.integers(0, 10))
    space = Space.WEIGHTS_BY_VECTOR
    return row(Opcode.LOAD, waits, space=space, dram_address=address, vectors=4, count=1, **fields)
