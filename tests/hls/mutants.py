"""Faults of the HLS C++ that random programs of a class must notice."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS: dict[Mutant, str] = {
    Mutant(
        "accumulate-ignored",
        "array.cpp",
        "matmul.accumulate || slice > 0",
        "slice > 0",
        "a reduction split over instructions keeps its last part only",
    ): "network",
    Mutant(
        "tile-coordinates-swapped",
        "index.cpp",
        "y << COORDINATE_BITS | x",
        "x << COORDINATE_BITS | y",
        "a gate's tiles are computed mirrored at the diagonal",
    ): "network",
    Mutant(
        "ring-of-inputs-has-no-end",
        "top.cpp",
        "slots == 0 ? number : number % slots",
        "number",
        "an image behind the ring's last slot is read from beyond it",
    ): "images",
    Mutant(
        "sum-with-the-bias-wraps",
        "epilogue_store.cpp",
        "requantise((int64_t)entry + parameter.bias, parameter)",
        "requantise((int32_t)((uint32_t)entry + (uint32_t)parameter.bias), parameter)",
        "a sum beyond int32 comes out at the other end of int8",
    ): "network",
}
"""And the class of each one's programs. Files are those of hw/hls/cpp."""
