"""A small program that uses every memory, and faults of it: an instruction behind its reader, which so finds what the
image before has left.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.images import Images, lay_out
from gatewright.contract.isa import EpilogueKind, Opcode, Space
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.operands import by_vector, parameters
from gatewright.verify.kit.programs import Image, Row, in_sequence, make_program, row

PIXELS, CHANNELS, SAMPLES = 8, 4, 4
_MAP, _SECOND, _TABLE, _LIMITS = 4096, 8192, 1, 8
_BYTES = PIXELS * CHANNELS

LEAKS = {
    "scratchpad": "input",
    "weight buffer": "weights",
    "parameters": "limits",
    "patch buffer": "gather",
    "accumulators": "matmul",
    "masks": "decide",
    "tables": "index",
}
"""A memory that an image then reads before it has written it, and the instruction that comes too late."""


def leaking(arch: ArchConfig, late: str | None = None) -> tuple[Program, npt.NDArray[np.uint8], Images]:
    """The program, its DRAM with some samples, and what the machine is told of them.

    Of the instruction ``late`` an image finds what the one before has left, and the first one zeros; without it each
    image is its own.
    """
    rng, image = np.random.default_rng(5), Image()
    source, target = image.reserve(_BYTES), image.reserve(2 * _BYTES)
    weights = image.add(by_vector(arch, rng.integers(-128, 128, (CHANNELS, CHANNELS), np.int8)))
    entries, limits = (rng.integers(-4000, 4000, 6).tolist() for _ in range(2))
    places = [image.add(parameters([(bias, 40_000, 24) for bias in biases])) for biases in (entries, limits)]
    rows = _rows(source, weights, places, target)
    if late is not None:
        rows[late] = rows.pop(late)  # the last one
    sizes = {"input_region": (source, _BYTES), "output_region": (target, 2 * _BYTES)}
    program = make_program(arch, in_sequence(list(rows.values())), image, **sizes)
    samples = [rng.integers(-128, 128, _BYTES, np.int8) for _ in range(SAMPLES)]
    return program, *lay_out(program, samples)


def _rows(source: int, weights: int, entries: list[int], target: int) -> dict[str, Row]:
    """A product, its results in two maps, and a gate on the first pixel that changes some pixels of the second one."""
    dot = {"tile": 1, "tile_count": PIXELS, "pixel_count": PIXELS, "filter_count": CHANNELS}
    shape = {"height": 1, "width": PIXELS, "channels": CHANNELS, "kernel_height": 1, "kernel_width": 1, "stride": 1}
    vectors = {"rows": CHANNELS, "row_beats": 1, "row_stride": 16, "vectors": CHANNELS, "count": 1}
    operands = {"patch_vectors": PIXELS, "weight_vectors": CHANNELS, "taps": 1, "channels": CHANNELS, "slice_count": 1}
    result = {"out_height": 1, "out_width": PIXELS, "channels": CHANNELS, "parameters": 1, **dot}
    decision = {**result, "kind": EpilogueKind.THRESHOLD, "pixel_count": 1, "parameters": _LIMITS + 1}
    biases = {"space": Space.PARAMETERS, "rows": 1, "row_beats": 3}
    beats = _BYTES // BEAT_BYTES
    return {
        "input": row(Opcode.LOAD, dram_address=source, rows=1, row_beats=beats, ring=1),
        "weights": row(Opcode.LOAD, space=Space.WEIGHTS_BY_VECTOR, dram_address=weights, **vectors),
        "parameters": row(Opcode.LOAD, dram_address=entries[0], **biases),
        "limits": row(Opcode.LOAD, dram_address=entries[1], address=_LIMITS, **biases),
        "gather": row(Opcode.GATHER, out_width=PIXELS, tile=1, tile_count=PIXELS, patch_vectors=PIXELS, **shape),
        "matmul": row(Opcode.MATMUL, **operands, **dot),
        "first": row(Opcode.EPILOGUE, destination=_MAP, **result),
        "second": row(Opcode.EPILOGUE, destination=_SECOND, relu=1, **result),
        "decide": row(Opcode.EPILOGUE, **decision),
        "index": row(Opcode.INDEX, bits=CHANNELS, grid_width=CHANNELS, table=_TABLE),
        "skip": row(Opcode.SKIP, count_table=_TABLE, instructions=1),
        "again": row(Opcode.EPILOGUE, destination=_SECOND, tile_table=_TABLE, **result),
        "store": row(Opcode.STORE, dram_address=target, address=_MAP, beats=beats, ring=1),
        "store second": row(Opcode.STORE, dram_address=target + _BYTES, address=_SECOND, beats=beats, ring=1),
    }
