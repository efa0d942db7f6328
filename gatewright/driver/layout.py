"""Where a program, its ring of inputs and its ring of outputs lie in one buffer."""

from __future__ import annotations

from dataclasses import dataclass

from .program import Program
from .registers import ALIGNMENT


@dataclass(frozen=True)
class Ring:
    """What the machine adds to the program's addresses for each image: ``offset``, and ``stride`` for each slot."""

    offset: int = 0
    stride: int = 0
    slots: int = 0

    def place(self, run: int) -> int:
        """Of a run's slot: bytes behind the program's own place."""
        return self.offset + (run % self.slots if self.slots else run) * self.stride


@dataclass(frozen=True)
class Layout:
    """Byte 0 is the program's image; ``output_bytes`` is where its outputs begin and end, in slot 0's own place."""

    inputs: Ring
    outputs: Ring
    output_bytes: tuple[int, int]
    size: int

    @staticmethod
    def of(program: Program, slots: int, rings: bool) -> Layout:
        """For so many slots. Without ``rings`` inputs and outputs are where the program has them."""
        first = min((output.address for output in program.outputs), default=0)
        end = max((output.address + output.size for output in program.outputs), default=0)
        if not rings:
            return Layout(Ring(), Ring(), (first, end), len(program.image))
        address, size, stride = program.input
        begin = _aligned(len(program.image))
        # A slot lies to 4 KiB as the program's own place does, so that its bursts are cut in the same places.
        inputs = Ring(
            begin + address % ALIGNMENT - address,
            _aligned(size + (program.images - 1) * stride) + ALIGNMENT,
            slots,
        )
        behind = begin + slots * inputs.stride
        outputs = Ring(behind + first % ALIGNMENT - first, _aligned(end - first) + ALIGNMENT, slots)
        return Layout(inputs, outputs, (first, end), behind + slots * outputs.stride)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
