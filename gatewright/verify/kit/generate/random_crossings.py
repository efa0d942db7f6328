"""Random programs whose units need nothing of each other: their waits alone, drawn at random, order them.

Each unit has places of its own. So any instruction may wait for any other unit, and every unit may be the last one that
an end, or a SKIP, waits for; what a program needs for its data leaves most of that out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, MASK_BITS, ArchConfig
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Stationary, Unit
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.builder import Builder, Filters
from gatewright.verify.kit.generate.operands import beats_of_vector
from gatewright.verify.kit.generate.random_machines import random_machine
from gatewright.verify.kit.generate.random_waits import with_more_waits

LENGTH = 60
"""Instructions behind what is set up."""

PIXELS, FILTERS, CHANNELS = 16, 4, 4
"""Of every product: so few that the smallest machine holds them."""

KEPT_BANK, WRITTEN_MASK, READ_MASK = 1, 0, 1
"""The bank that EPILOGUE reads and no MATMUL of the random part fills; the masks of EPILOGUE and of INDEX."""

OPCODES = (Opcode.LOAD, Opcode.GATHER, Opcode.MATMUL, Opcode.EPILOGUE, Opcode.INDEX, Opcode.STORE)


class Crossing(NamedTuple):
    """A program, and what DRAM must hold in the end: addresses, and the bytes from there on."""

    program: Program
    dram_checks: list[tuple[int, npt.NDArray[np.int8]]]


class _Crossings:
    """A program on its way: ``source`` and ``filters`` are read by whoever wants them, and never written again."""

    def __init__(self, rng: np.random.Generator, arch: ArchConfig) -> None:
        self.rng, self.arch, self.build = rng, arch, Builder(arch)
        self.source = self.build.load_map(rng.integers(-128, 128, (4, 4, CHANNELS), dtype=np.int8))
        self.filters, self.other = self._filters(), self._filters()
        self.checks: list[tuple[int, npt.NDArray[np.int8]]] = []
        kept = {"patch_base": 0, "patch_vectors": PIXELS, "tile": 1, "tile_count": PIXELS}
        gathered = self.build.emit(Opcode.GATHER, self.source.ready, **self._pixels(), **kept)
        product = {"bank": KEPT_BANK, "pixel_count": PIXELS, "filter_count": FILTERS}
        self.build.emit(Opcode.MATMUL, [gathered, *self.filters.ready], **self._operands(), **kept, **product)
        self.build.emit(Opcode.EXIT, [self.build.mark(unit) for unit in (Unit.LOAD, Unit.ARRAY)])

    def _filters(self) -> Filters:
        weights = self.rng.integers(-128, 128, (FILTERS, 1, 1, CHANNELS), dtype=np.int8)
        return self.build.load_filters(weights, [(0, 1, 1)] * (FILTERS + 1), False)

    def _pixels(self) -> dict[str, int]:
        shape = {"height": 4, "width": 4, "channels": CHANNELS, "out_width": 4}
        return {"source": self.source.address, "kernel_height": 1, "kernel_width": 1, "stride": 1, **shape}

    def _operands(self) -> dict[str, int]:
        weights = {"weight_base": self.filters.base // 4, "weight_vectors": self.filters.vectors}
        return {"taps": 1, "channels": CHANNELS, "slice_count": 1, **weights}

    def emit(self, opcode: Opcode, left_out: bool) -> None:
        """An instruction that needs to wait for nothing; ``left_out``: a SKIP before it takes its work away."""
        self.build.emit(opcode, None, **self._fields(opcode, left_out))

    def _fields(self, opcode: Opcode, left_out: bool) -> dict[str, int]:
        rng = self.rng
        pixels, chosen = int(rng.integers(PIXELS + 1)), int(rng.integers(1, FILTERS + 1))
        if opcode == Opcode.LOAD:
            beats = beats_of_vector(self.arch, CHANNELS)
            place = {"address": self.other.base // 4, "vectors": self.other.vectors, "count": 1}
            rows = {"rows": int(rng.integers(FILTERS + 1)), "row_beats": beats, "row_stride": BEAT_BYTES * beats}
            return {"space": Space.WEIGHTS_BY_VECTOR, "dram_address": 0, **place, **rows}
        if opcode == Opcode.GATHER:
            tiles = {"tile": 1, "tile_count": pixels, "patch_base": PIXELS // 4, "patch_vectors": PIXELS}
            return self._pixels() | tiles
        if opcode == Opcode.MATMUL:
            product = {"pixel_count": pixels, "filter_count": chosen, "bank": int(rng.choice([0, 2, 3]))}
            patch = {"patch_base": 0, "patch_vectors": PIXELS, "tile": 1, "tile_count": PIXELS}
            return self._operands() | patch | product | {"stationary": int(rng.choice(list(Stationary)))}
        if opcode == Opcode.EPILOGUE:
            sizes = {"tile": 1, "tile_count": 1, "pixel_count": int(rng.integers(4) > 0), "filter_count": chosen}
            place = {"destination": WRITTEN_MASK * MASK_BITS, "parameters": self.filters.parameter}
            return {"kind": EpilogueKind.THRESHOLD, "bank": KEPT_BANK, **sizes, **place}
        if opcode == Opcode.INDEX:
            zeros = int(rng.integers(2))
            bits = int(rng.integers(1 + min(MASK_BITS, self.arch.table_entries) if zeros else 1 + MASK_BITS))
            return {"mask": READ_MASK, "table": 0, "complement": zeros, "bits": bits}
        beats = int(rng.integers(self.source.values.size // BEAT_BYTES + 1))
        target = self.build.image.reserve(max(1, beats) * BEAT_BYTES)
        stored = self.source.values.ravel()[: beats * BEAT_BYTES]
        self.checks.append((target, np.zeros_like(stored) if left_out else stored))
        return {"dram_address": target, "address": self.source.address, "beats": beats}


def random_crossings(seed: int, arch: ArchConfig | None = None) -> Crossing:
    """The program of a seed for a machine, or for the one of the seed."""
    rng = np.random.default_rng([0xC05, seed])
    drawn = _Crossings(rng, arch or random_machine(seed))
    to_leave_out = 0
    for left in range(LENGTH, 0, -1):
        if to_leave_out == 0 and rng.integers(20) == 0:
            # No table counts as 0 entries: it is always taken.
            to_leave_out = min(left - 1, int(rng.integers(1, 5)))
            drawn.build.emit(Opcode.SKIP, instructions=to_leave_out)
            continue
        if to_leave_out == 0 and rng.integers(30) == 0:
            drawn.build.emit(Opcode.EXIT)
            continue
        drawn.emit(OPCODES[int(rng.integers(len(OPCODES)))], to_leave_out > 0)
        to_leave_out = max(0, to_leave_out - 1)
    program = drawn.build.program(page_size=int(rng.integers(6, 40)))
    return Crossing(with_more_waits(program, rng), drawn.checks)
