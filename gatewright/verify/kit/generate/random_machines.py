"""Machines drawn from all that ``ArchConfig`` allows: arrays, memories, tables, queues and DRAM of any size."""

from __future__ import annotations

import math

import numpy as np

from gatewright.contract.arch import ArchConfig, DramConfig

SLOWEST = 6
"""Cycles of a beat, at most: slower DRAM makes the runs longer, and nothing else."""


def random_machine(seed: int, *, rtl: bool = False) -> ArchConfig:
    """The machine of a seed. With ``rtl`` one that Verilator builds soon: a small array, small memories."""
    rng = np.random.default_rng([0xA2C, seed])
    most_rows, most_columns, most_kib, most_queue = (7, 9, 64, 9) if rtl else (16, 32, 256, 64)
    per_cycles = int(rng.integers(1, 98))
    return ArchConfig(
        name=f"random-{seed}",
        rows=int(rng.integers(4, most_rows + 1)),
        columns=int(rng.integers(4, most_columns + 1)),
        load_vectors=int(rng.choice([1, 2, 4])),
        scratchpad_kib=_size(rng, 4, most_kib),
        patch_kib=_size(rng, 1, 64),
        weight_kib=_size(rng, 1, most_kib),
        accumulator_depth=_size(rng, 16, 1024),
        parameter_entries=_size(rng, 128, 4096),
        table_entries=_size(rng, 16, 1024 if rtl else 4096),
        tables=min(31, int(rng.integers(2, 36))),
        instruction_entries=_size(rng, 64, 8192),
        queue_depth=_size(rng, 2, most_queue),
        dram=DramConfig(
            latency=_size(rng, 2, 200),
            beats=int(rng.integers(-(-per_cycles // SLOWEST), per_cycles + 1)),
            per_cycles=per_cycles,
            burst_gap=int(rng.integers(0, 6)),
            outstanding=_size(rng, 1, 20),
            shared=bool(rng.integers(2)),
        ),
    )


def _size(rng: np.random.Generator, low: int, high: int) -> int:
    """From ``low`` to ``high``, each octave as often as any other, and both ends often."""
    end = int(rng.integers(6))
    if end < 2:
        return high if end else low
    return min(high, int(low * math.exp(rng.uniform(0, math.log((high + 1) / low)))))
