"""Several images in one start: how many, and where their inputs and outputs lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program, belonging_to

DRAM_ADDRESSES = 1 << 32
"""Addresses are sums modulo this."""

_ALIGNMENT = 4096
"""Of the rings, so that bursts are split in every slot as they are in the first."""


@dataclass(frozen=True)
class Ring:
    """Places of the same size in DRAM, one for each image: after ``slots`` of them the first one again (0: never).

    Slot 0 lies ``offset`` bytes behind the place that the program names (modulo 2**32), the others ``stride`` bytes
    each behind the one before.
    """

    offset: int = 0
    stride: int = 0
    slots: int = 0

    def __post_init__(self) -> None:
        for name in ("offset", "stride"):
            value = getattr(self, name)
            if not 0 <= value < DRAM_ADDRESSES or value % BEAT_BYTES:
                raise GatewrightError(f"ring: {name} = {value} is not a multiple of {BEAT_BYTES} below 2**32")
        if not 0 <= self.slots < 1 << 16:
            raise GatewrightError(f"ring: slots = {self.slots} is not 0 to {(1 << 16) - 1}")

    def place(self, image: int) -> int:
        """What is added to the program's addresses for this image, in bytes."""
        slot = image % self.slots if self.slots else image
        return (self.offset + slot * self.stride) % DRAM_ADDRESSES


@dataclass(frozen=True)
class Images:
    """What one start of the machine runs: the program ``count`` times, from a ring of inputs into a ring of outputs.

    A program that runs several images at a time finds all of them in a place of the ring.
    """

    count: int = 1
    inputs: Ring = Ring()
    outputs: Ring = Ring()

    def __post_init__(self) -> None:
        if not 1 <= self.count < 1 << 16:
            raise GatewrightError(f"images: count = {self.count} is not 1 to {(1 << 16) - 1}")


ONE_IMAGE = Images()
"""The input where the program has it, and so the outputs."""


def lay_out(
    program: Program, samples: Sequence[npt.NDArray[np.int8]], slots: int = 0
) -> tuple[npt.NDArray[np.uint8], Images]:
    """A DRAM image with ``samples`` in a ring of inputs behind the program's own, and what the machine is told of it.

    ``slots``: places in the ring of outputs; 0 for one for each run of the program. A run takes ``program.images``
    samples; those that are missing in the last one are 0.
    """
    _check_rings(program)
    inputs, runs = program.input_region, -(-len(samples) // program.images)
    first, end = _outputs(program)
    begin = -(-len(program.image) // _ALIGNMENT) * _ALIGNMENT
    sizes = inputs.size + (program.images - 1) * program.input_stride, end - first
    strides = [-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes]
    ring = Ring(begin + inputs.address % _ALIGNMENT - inputs.address, strides[0] + _ALIGNMENT)
    behind = begin + runs * ring.stride
    out = Ring(behind + first % _ALIGNMENT - first, strides[1] + _ALIGNMENT, slots)
    image = np.zeros(behind + (slots or runs) * out.stride, np.uint8)
    image[: len(program.image)] = program.image
    for number, sample in enumerate(samples):
        run, in_it = divmod(number, program.images)
        at = inputs.address + ring.place(run) + in_it * program.input_stride
        image[at : at + inputs.size] = program.packed(sample)
    return image, Images(runs, ring, out)


def values_of(
    program: Program, dram: npt.NDArray[np.uint8], images: Images, number: int
) -> dict[str, npt.NDArray[np.int8] | npt.NDArray[np.int32]]:
    """What sample ``number`` has left in its place in the ring of outputs, as ``Program.values`` of it alone."""
    run, in_it = divmod(number, program.images)
    return belonging_to(program.values(dram[images.outputs.place(run) :]), in_it, program.images)


def _outputs(program: Program) -> tuple[int, int]:
    """Where the program's outputs begin and end in DRAM."""
    regions = [output.region for output in program.outputs]
    return min(region.address for region in regions), max(region.address + region.size for region in regions)


def _check_rings(program: Program) -> None:
    for opcode, what in ((Opcode.LOAD, "reads its input"), (Opcode.STORE, "writes its outputs")):
        code = program.code[program.code[:, 0] == opcode]
        if not code[:, column(opcode, "ring")].any():
            raise GatewrightError(
                f"the program {what} at one place: no {opcode.name} of it has ring = 1; compile it again for several "
                "images in one start"
            )
    stores = program.code[program.code[:, 0] == Opcode.STORE]
    ring, address, beats = (stores[:, column(Opcode.STORE, name)] for name in ("ring", "dram_address", "beats"))
    for output in program.outputs:
        region = output.region
        inside = (address < region.address + region.size) & (address + beats * BEAT_BYTES > region.address)
        if (inside & (ring == 0)).any():
            raise GatewrightError(
                f"output {output.name} is a map that the program keeps in DRAM, at one place for all images; start the "
                "program for each image, or take a machine with a larger scratchpad"
            )
