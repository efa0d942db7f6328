"""Operands as they lie in DRAM: weights in both layouts and epilogue parameters, written out plainly."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig


def slices_of(arch: ArchConfig, reduction: int) -> int:
    """Slices that hold ``reduction`` values; at least one."""
    return max(1, (reduction + arch.rows - 1) // arch.rows)


def beats_of_vector(arch: ArchConfig, reduction: int) -> int:
    """DRAM beats of one vector in the by-vector layout."""
    per_beat = max(1, 16 // arch.rows)
    return (slices_of(arch, reduction) + per_beat - 1) // per_beat


def by_vector(arch: ArchConfig, weights: npt.NDArray[np.int8]) -> bytes:
    """[vectors, reduction] int8 as rows for WEIGHTS_BY_VECTOR: whole slices, the beats' rest padding."""
    per_beat = max(1, 16 // arch.rows)
    out = bytearray()
    for vector in weights:
        padded = np.zeros(slices_of(arch, weights.shape[1]) * arch.rows, np.int8)
        padded[: len(vector)] = vector
        slices = padded.reshape(-1, arch.rows)
        for first in range(0, len(slices), per_beat):
            beat = slices[first : first + per_beat].tobytes()
            out += beat + bytes(16 - len(beat))
    return bytes(out)


def by_reduction(weights: npt.NDArray[np.int8]) -> bytes:
    """[vectors, taps, channels] int8 as one row per channel: per tap one byte a vector, in whole beats."""
    vectors, taps, channels = weights.shape
    out = bytearray()
    for channel in range(channels):
        for tap in range(taps):
            out += weights[:, tap, channel].tobytes() + bytes(-vectors % 16)
    return bytes(out)


def parameters(entries: Sequence[tuple[int, int, int]]) -> bytes:
    """(bias, multiplier, shift) of each entry, two a beat."""
    raw = b"".join(struct.pack("<iHBx", bias, multiplier, shift) for bias, multiplier, shift in entries)
    return raw + bytes(-len(raw) % 16)
