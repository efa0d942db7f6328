"""The instructions that the self-test's steps are made of, with the fields that most steps leave alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.bringup.script import Script
from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES
from gatewright.contract.encodings import PARAMETER_DTYPE, REGION_UNIT
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Stationary

Bytes = npt.NDArray[np.int8]
Numbers = npt.NDArray[np.int64]


def load_filters(script: Script, weights: Bytes, vectors: int, word: int = 0) -> None:
    """Filters [filter, slice, row] by vector into the weight buffer from a word on, a region of ``vectors``."""
    arch = script.arch
    count, slices, rows = weights.shape
    beats = -(-slices // arch.slices_per_beat)
    packed = np.zeros((count, beats, BEAT_BYTES), np.int8)
    groups = np.zeros((count, beats * arch.slices_per_beat, rows), np.int8)
    groups[:, :slices] = weights
    packed[..., : arch.slices_per_beat * rows] = groups.reshape(count, beats, -1)
    script.emit(
        Opcode.LOAD,
        space=Space.WEIGHTS_BY_VECTOR,
        dram_address=script.data(packed),
        address=word // REGION_UNIT,
        rows=count,
        row_beats=beats,
        row_stride=beats * BEAT_BYTES,
        vectors=vectors,
        count=slices,
    )


def load_parameters(script: Script, bias: Numbers, multiplier: int | Numbers, shift: int | Numbers) -> None:
    """Parameter entries from 0 on."""
    entries = np.zeros(-(-len(bias) // 2) * 2, PARAMETER_DTYPE)
    entries["shift"] = 1
    for name, values in (("bias", bias), ("multiplier", multiplier), ("shift", shift)):
        entries[name][: len(bias)] = values
    script.load(Space.PARAMETERS, script.data(entries), len(entries) * PARAMETER_BYTES)


def gather(script: Script, source: int, pixels: int, channels: int, vectors: int, **fields: int) -> None:
    """A row of so many pixels into patch vectors from word 0 on, or where ``patch_base`` says."""
    slices = -(-channels // script.arch.rows)
    script.emit(
        Opcode.GATHER,
        **{
            "source": source,
            "height": 1,
            "width": pixels,
            "channels": channels,
            "kernel_height": 1,
            "kernel_width": 1,
            "stride": 1,
            "out_width": pixels,
            "tile": 1,
            "tile_count": pixels,
            "patch_vectors": vectors,
            "slice_count": slices,
            **fields,
        },
    )


def product(script: Script, pixels: int, filters: int, channels: int, vectors: tuple[int, int], **fields: int) -> None:
    """Pixels by filters; ``vectors``: those of the patch region and of the weight region."""
    slices = max(1, -(-channels // script.arch.rows))
    script.emit(
        Opcode.MATMUL,
        **{
            "stationary": Stationary.FILTERS,
            "patch_vectors": vectors[0],
            "weight_vectors": vectors[1],
            "taps": 1,
            "channels": channels,
            "slice_count": slices,
            "tile": 1,
            "tile_count": pixels,
            "pixel_count": pixels,
            "filter_count": filters,
            **fields,
        },
    )


def write(script: Script, kind: EpilogueKind, destination: int, pixels: int, filters: int, **fields: int) -> None:
    """Results of a product to the scratchpad."""
    script.emit(
        Opcode.EPILOGUE,
        **{
            "kind": kind,
            "stationary": Stationary.FILTERS,
            "destination": destination,
            "out_height": 1,
            "out_width": max(1, pixels),
            "channels": filters,
            "tile": 1,
            "tile_count": pixels,
            "pixel_count": pixels,
            "filter_count": filters,
            **fields,
        },
    )


def pick_rows(script: Script, rows: int, address: int, count: int, table: int, first: int = 0) -> None:
    """Rows of a beat from DRAM to the scratchpad: those that a table lists from a position on."""
    script.emit(
        Opcode.LOAD,
        space=Space.SCRATCHPAD,
        dram_address=rows,
        address=address,
        rows=count,
        row_beats=1,
        row_stride=BEAT_BYTES,
        row_table=table,
        first_row=first,
    )
