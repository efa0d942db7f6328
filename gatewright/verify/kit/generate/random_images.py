"""Programs of the corners for several images in one start, with what each image makes of them alone.

Every slot of the ring of inputs is a copy of all that the program has in DRAM, so that any LOAD may be of the ring; the
copies differ in a few maps, by which some images end early or leave other steps out. Every slot of the ring of outputs
is as long, and any STORE may be of that ring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.axi import BURST_BOUNDARY
from gatewright.contract.images import Images, Ring
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program
from gatewright.sim.fast.machine import simulate
from gatewright.sim.result import MachineResult
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.programs import with_code

SEEDS = 0x1A6
MOST_IMAGES = 3


@dataclass(frozen=True)
class SeveralImages:
    """A program, its DRAM with the rings, and the program for each image alone."""

    program: Program
    dram: npt.NDArray[np.uint8]
    images: Images
    alone: list[Program]

    def assert_as_alone(self, result: MachineResult) -> None:
        """Every image has left in its place what it stores alone, and took as long."""
        cycles = 0
        for number, program in enumerate(self.alone):
            expected = simulate(program)
            cycles += expected.cycles
            place = self.images.outputs.place(number)
            for first, end in _stored(program.code[program.code[:, column(Opcode.STORE, "ring")] == 1]):
                left = result.dram[place + first : place + end]
                np.testing.assert_array_equal(left, expected.dram[first:end], err_msg=f"image {number} at {first:#x}")
        assert result.cycles == cycles, f"{result.cycles} cycles, {cycles} alone"


def _stored(code: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Where the STOREs of some instructions write, [first, end)."""
    stores = code[code[:, 0] == Opcode.STORE]
    begin = stores[:, column(Opcode.STORE, "dram_address")]
    end = begin + BEAT_BYTES * stores[:, column(Opcode.STORE, "beats")]
    return list(zip(begin.tolist(), end.tolist(), strict=True))


def random_images(seed: int, arch: ArchConfig | None = None) -> SeveralImages:
    """Up to three images through the program of a seed, for a machine or for the one of the seed."""
    rng = np.random.default_rng([SEEDS, seed])
    network, program = random_corners(seed, arch)
    program = _with_rings(rng, program, network.varied)
    size = len(program.image)
    stride = size + -size % BURST_BOUNDARY
    slots = [program.image.copy() for _ in range(int(rng.integers(1, MOST_IMAGES + 1)))]
    for slot in slots[1:]:
        for first, count in network.varied:
            slot[first : first + count] = rng.integers(0, 256, count, dtype=np.uint8)
    images = Images(
        count=int(rng.integers(len(slots), MOST_IMAGES + 1)),
        inputs=Ring(stride, stride + BURST_BOUNDARY * int(rng.integers(2)), len(slots)),
        outputs=Ring((len(slots) + 2) * (stride + BURST_BOUNDARY), stride),
    )
    dram = np.zeros(images.outputs.place(images.count), np.uint8)
    dram[:size] = program.image
    for number, slot in enumerate(slots):
        place = images.inputs.place(number)
        dram[place : place + size] = slot
    alone = [replace(program, image=slots[number % len(slots)]) for number in range(images.count)]
    return SeveralImages(program, dram, images, alone)


def _with_rings(rng: np.random.Generator, program: Program, varied: list[tuple[int, int]]) -> Program:
    """LOADs and STOREs in the rings: those of what varies and of what nothing reads back, the others at random."""
    code = program.code.copy()
    stored = _stored(code)
    loads, stores = (np.flatnonzero(code[:, 0] == opcode) for opcode in (Opcode.LOAD, Opcode.STORE))
    addresses = code[loads, column(Opcode.LOAD, "dram_address")].tolist()
    loaded = set(addresses)
    for load, address in zip(loads, addresses, strict=True):
        read_back = any(first <= address < end for first, end in stored)
        varies = any(first <= address < first + count for first, count in varied)
        code[load, column(Opcode.LOAD, "ring")] = varies or (not read_back and rng.integers(2))
    for store, (first, end) in zip(stores, stored, strict=True):
        code[store, column(Opcode.STORE, "ring")] = not any(first <= address < end for address in loaded)
    return with_code(program, code)
