"""The unit of every numeric key of the report."""

from __future__ import annotations

from gatewright.measure.bounds import Holder
from gatewright.measure.causes import Cause

_BY_UNIT = {
    "cycles": """
        cycles cycles_dense cycles_gated cycles_gated_mean
        cycles_gated_p5 cycles_gated_p50 cycles_gated_p95 cycles_gated_p99
        dram_cycles_dense dram_cycles_gated_mean array_cycles_dense array_cycles_gated_mean
        latency per_cycles burst_gap """
    + " ".join([*Cause, *Holder]),
    "ratio": """
        speedup_theoretical speedup_realised speedup_theoretical_mean speedup_realised_mean
        speedup_realised_of_means realised_over_theoretical_mean realised_over_theoretical_of_means
        theoretical realised speedup_before speedup_after speedup_lost
        """,
    "fraction": """
        top1_float top1_int8 gate_flip_rate flip_rate utilisation utilisation_dense utilisation_gated_mean
        target_density density_mean always_on always_off input_dependent
        """,
    "MACs": "macs_dense macs_gated macs_gated_mean",
    "MACs per cycle": "peak_macs",
    "bytes": "dram_bytes_dense dram_bytes_gated_mean",
    "bytes per cycle": "dram_bytes_per_cycle",
    "frames per second": "frames_per_second_dense frames_per_second_gated",
    "MHz": "clock_mhz",
    "KiB": "scratchpad_kib patch_kib weight_kib",
    "entries": "accumulator_depth parameter_entries table_entries instruction_entries",
    "instructions": "queue_depth",
    "multiplier blocks": "array_multipliers",
    "vectors per cycle": "load_vectors",
    "multipliers": "rows columns",
    "tables": "tables",
    "beats of 16 bytes": "beats",
    "bursts": "outstanding",
    "images": "images",
    "number in the data set": "index",
    "class number": "label predicted_float predicted_int8",
    "decisions": "decisions",
    "tiles": "grid_height grid_width",
}

UNITS: dict[str, str] = {key: unit for unit, keys in _BY_UNIT.items() for key in keys.split()}
