"""What the tables and registers of each module depend on: the features of the model, and its multipliers."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.utils import ceil_log2

from gatewright.contract.arch import ArchConfig
from gatewright.explore.area.memories import block_memories
from gatewright.hw.array.grid import packed_pairs

MULTIPLIERS_PER_LANE = 3
"""Of EPILOGUE, for each column: two of the requantisation, one of the averages."""

DEPTHWISE_PER_LANE = 2

ADDRESS_MULTIPLIERS = {"array": 2, "epilogue": 3, "gather": 9, "load": 2, "sequencer": 5}
"""Of addresses, sizes and the division, which no parameter changes."""


def pairs(arch: ArchConfig) -> int:
    """Pairs of the array's columns that share their multipliers."""
    return int(packed_pairs(arch.rows, arch.columns, arch.array_multipliers))


def multipliers(arch: ArchConfig) -> dict[str, int]:
    """DSP48E2 of each module that has some."""
    lanes = arch.columns * (MULTIPLIERS_PER_LANE + (DEPTHWISE_PER_LANE if arch.depthwise else 0))
    more = {"array": arch.rows * (arch.columns - pairs(arch)), "epilogue": lanes}
    if odd(arch.rows):
        more = {**more, "array": more["array"] + 2, "load": 1}  # a division by the rows
    return {name: count + more.get(name, 0) for name, count in ADDRESS_MULTIPLIERS.items()}


def levels(count: int) -> int:
    """Choices of one in two that a rotation of ``count`` lanes takes, one behind the other."""
    return int(ceil_log2(count))


def odd(count: int) -> bool:
    """Whether a count is no power of two, so that positions wrap by a comparison."""
    return count != 1 << levels(count)


def small(module: str, words: int) -> Callable[[ArchConfig], float]:
    """Of a memory that is made of look-up tables, in how many times ``words`` words it is; 0 where it is in blocks."""

    def feature(arch: ArchConfig) -> float:
        memory = block_memories(arch)[module]
        return -(-memory.depth // words) if memory.in_tables else 0

    return feature


FEATURES: dict[str, Callable[[ArchConfig], float]] = {
    "one": lambda arch: 1,
    "rows": lambda arch: arch.rows,
    "columns": lambda arch: arch.columns,
    "cells": lambda arch: arch.rows * arch.columns,
    "row levels": lambda arch: levels(arch.rows),
    "odd rows": lambda arch: odd(arch.rows),
    "bus": lambda arch: arch.rows * arch.load_vectors,
    "pairs": pairs,
    "paired rows": lambda arch: pairs(arch) * arch.rows,
    "mask lanes": lambda arch: 1 << levels(arch.columns),
    "depthwise": lambda arch: arch.depthwise,
    "depthwise lanes": lambda arch: arch.columns * arch.depthwise,
    "queue levels": lambda arch: max(1, ceil_log2(arch.queue_depth - 1)),
    "deep queue": lambda arch: arch.queue_depth > 33,
    "count bits": lambda arch: arch.tables * ceil_log2(arch.table_entries + 1),
    "tables": lambda arch: arch.tables,
    "table levels": lambda arch: levels(arch.table_entries),
    "bursts": lambda arch: arch.dram.outstanding,
    "small tables": small("tables", 1 << 20),
    "small table words": small("tables", 128),
    "deep tables": lambda arch: block_memories(arch)["tables"].depth > 8192,
    "small parameters": small("parameters", 1 << 20),
    "small parameter words": small("parameters", 32),
    "small accumulators": lambda arch: arch.columns * small("accumulators", 1 << 20)(arch),
    "small accumulator words": lambda arch: arch.columns * small("accumulators", 32)(arch),
    "small patches": lambda arch: arch.rows * small("patch_buffer", 1 << 20)(arch),
    "small patch words": lambda arch: arch.rows * small("patch_buffer", 32)(arch),
    "stacked patches": lambda arch: arch.rows * block_memories(arch)["patch_buffer"].stacked,
    "small weights": lambda arch: arch.rows * small("weight_buffer", 1 << 20)(arch),
    "small weight words": lambda arch: arch.rows * small("weight_buffer", 64)(arch),
    "stacked scratchpad": lambda arch: block_memories(arch)["scratchpad"].stacked,
}
"""What the modules' tables and registers may depend on, by name."""

MODULES: dict[str, tuple[str, ...]] = {
    "top": ("one",),
    "control": ("one",),
    "completions": ("one",),
    "images": ("one",),
    "sequencer": ("one",),
    "store": ("one", "bursts"),
    "index_unit": ("one", "table levels"),
    **{
        f"queue_{unit}": ("one", "queue levels", "deep queue")
        for unit in ("load", "gather", "array", "epilogue", "index", "store")
    },
    "load": ("one", "rows", "row levels", "odd rows"),
    "gather": ("one", "rows", "row levels", "odd rows"),
    "array": ("one", "rows", "columns", "cells", "bus", "pairs", "paired rows"),
    "epilogue": ("one", "columns", "depthwise", "depthwise lanes"),
    "scratchpad": ("one", "rows", "columns", "stacked scratchpad"),
    "masks": ("one", "mask lanes"),
    "accumulators": ("one", "columns", "small accumulators", "small accumulator words"),
    "patch_buffer": ("rows", "small patches", "small patch words", "stacked patches"),
    "weight_buffer": ("rows", "small weights", "small weight words"),
    "tables": ("one", "tables", "count bits", "small tables", "small table words", "deep tables"),
    "parameters": ("one", "depthwise", "small parameters", "small parameter words"),
}
"""The features of each module of the machine."""
