"""All memories of the machine as numpy arrays, in tuples that the kernels take whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ACCUMULATOR_BANKS, INSTRUCTION_BYTES, MASK_BITS, MASKS, ArchConfig

NOT_LOADED, LEGAL, ILLEGAL = 0, 1, 2
"""What ``State.loaded`` says of an entry of the instruction memory."""


class Geometry(NamedTuple):
    """The sizes and rates that the kernels need; see ``ArchConfig``."""

    rows: int
    columns: int
    load_vectors: int
    gather_bytes: int
    slices_per_beat: int
    patch_words: int
    weight_words: int
    accumulator_depth: int
    parameter_entries: int
    tables: int
    table_entries: int
    instruction_entries: int
    queue_depth: int
    dram_latency: int
    dram_beats: int
    dram_per_cycles: int
    burst_gap: int
    outstanding: int
    dram_shared: bool
    depthwise: bool


class State(NamedTuple):
    """Memory contents. What the machine leaves undefined at start is zero here."""

    dram: npt.NDArray[np.uint8]
    scratchpad: npt.NDArray[np.int8]
    patch: npt.NDArray[np.int8]
    """[words, rows]"""
    weight: npt.NDArray[np.int8]
    """[words, rows]"""
    accumulators: npt.NDArray[np.int32]
    """[bank, entry, column]"""
    bias: npt.NDArray[np.int32]
    multiplier: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]
    tables: npt.NDArray[np.uint16]
    """[table, entry]"""
    counts: npt.NDArray[np.int64]
    written: npt.NDArray[np.bool_]
    """Whether a table was ever written."""
    masks: npt.NDArray[np.bool_]
    """[mask, bit]"""
    instructions: npt.NDArray[np.uint8]
    """[entry, byte] as loaded"""
    loaded: npt.NDArray[np.uint8]
    fault: npt.NDArray[np.int64]
    """The value and the limit of the fault that a kernel reported."""


def geometry(arch: ArchConfig) -> Geometry:
    """The kernels' view of an architecture."""
    return Geometry(
        rows=arch.rows,
        columns=arch.columns,
        load_vectors=arch.load_vectors,
        gather_bytes=arch.gather_bytes,
        slices_per_beat=arch.slices_per_beat,
        patch_words=arch.patch_words,
        weight_words=arch.weight_words,
        accumulator_depth=arch.accumulator_depth,
        parameter_entries=arch.parameter_entries,
        tables=arch.tables,
        table_entries=arch.table_entries,
        instruction_entries=arch.instruction_entries,
        queue_depth=arch.queue_depth,
        dram_latency=arch.dram.latency,
        dram_beats=arch.dram.beats,
        dram_per_cycles=arch.dram.per_cycles,
        burst_gap=arch.dram.burst_gap,
        outstanding=arch.dram.outstanding,
        dram_shared=arch.dram.shared,
        depthwise=arch.depthwise,
    )


def new_state(arch: ArchConfig, image: npt.NDArray[np.uint8]) -> State:
    """Memories at start around a private copy of the DRAM image."""
    return State(
        dram=np.array(image, np.uint8),
        scratchpad=np.zeros(arch.scratchpad_bytes, np.int8),
        patch=np.zeros((arch.patch_words, arch.rows), np.int8),
        weight=np.zeros((arch.weight_words, arch.rows), np.int8),
        accumulators=np.zeros((ACCUMULATOR_BANKS, arch.accumulator_depth, arch.columns), np.int32),
        bias=np.zeros(arch.parameter_entries, np.int32),
        multiplier=np.zeros(arch.parameter_entries, np.int64),
        shift=np.zeros(arch.parameter_entries, np.int64),
        tables=np.zeros((arch.tables, arch.table_entries), np.uint16),
        counts=np.zeros(arch.tables, np.int64),
        written=np.zeros(arch.tables, np.bool_),
        masks=np.zeros((MASKS, MASK_BITS), np.bool_),
        instructions=np.zeros((arch.instruction_entries, INSTRUCTION_BYTES), np.uint8),
        loaded=np.full(arch.instruction_entries, NOT_LOADED, np.uint8),
        fault=np.zeros(2, np.int64),
    )
