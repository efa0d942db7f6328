"""How weights, parameters and images lie in DRAM.

A filter bank lies *by vector* (a row of slices per filter) or, where its input channels are gated,
*by reduction* (a row per input channel, so that LOAD reads the active ones only).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import Requantisation
from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES, ArchConfig
from gatewright.contract.encodings import PARAMETER_DTYPE, REGION_UNIT

IMAGE_ALIGNMENT = 64
"""Every part of a program's image begins at a multiple of so many bytes."""


def padded_vectors(count: int) -> int:
    """Vectors of an operand region: a multiple of the banks."""
    return -(-count // REGION_UNIT) * REGION_UNIT


def slices_of(reduction: int, arch: ArchConfig) -> int:
    """Slices of a reduction; an empty one is a slice of zeros."""
    return max(1, -(-reduction // arch.rows))


def beats_by_vector(reduction: int, arch: ArchConfig) -> int:
    """DRAM beats of one filter."""
    return -(-slices_of(reduction, arch) // arch.slices_per_beat)


def weights_by_vector(weight: npt.NDArray[np.int8], arch: ArchConfig) -> npt.NDArray[np.uint8]:
    """[filters, ...reduction] to [filters, beats * 16] bytes, slices padded to whole beats."""
    flat = weight.reshape(len(weight), -1)
    slices = slices_of(flat.shape[1], arch)
    beats = beats_by_vector(flat.shape[1], arch)
    padded = np.zeros((len(flat), beats * arch.slices_per_beat * arch.rows), np.int8)
    padded[:, : flat.shape[1]] = flat
    groups = padded.reshape(len(flat), beats, arch.slices_per_beat * arch.rows)
    rows = np.zeros((len(flat), beats, BEAT_BYTES), np.int8)
    rows[:, :, : groups.shape[2]] = groups
    assert slices <= beats * arch.slices_per_beat
    return rows.reshape(len(flat), -1).view(np.uint8)


def weights_by_reduction(weight: npt.NDArray[np.int8], vectors: int) -> npt.NDArray[np.uint8]:
    """[filters, kernel height, kernel width, channels] to [channels, taps * beats * 16] bytes, for ``vectors``."""
    filters, height, width, channels = weight.shape
    padded = np.zeros((channels, height * width, -(-vectors // BEAT_BYTES) * BEAT_BYTES), np.int8)
    padded[:, :, :filters] = weight.transpose(3, 1, 2, 0).reshape(channels, height * width, filters)
    return padded.reshape(channels, -1).view(np.uint8)


def parameter_bytes(requantisation: Requantisation) -> npt.NDArray[np.uint8]:
    """Epilogue parameters [channels * 8] bytes: bias int32, multiplier uint16, shift uint8, zero."""
    entries = np.zeros(len(requantisation.bias), PARAMETER_DTYPE)
    assert entries.itemsize == PARAMETER_BYTES
    entries["bias"], entries["multiplier"], entries["shift"] = (
        requantisation.bias,
        requantisation.multiplier,
        requantisation.shift,
    )
    return entries.view(np.uint8).reshape(-1)


class ImageBuilder:
    """Lays byte arrays out in DRAM, 64-byte aligned, and remembers where."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.uint8]] = []
        self.size = 0

    def add(self, data: npt.NDArray[np.uint8]) -> int:
        """Append bytes; return their address."""
        address = self.size
        flat = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        padding = -len(flat) % IMAGE_ALIGNMENT
        self._parts += [flat, np.zeros(padding, np.uint8)]
        self.size += len(flat) + padding
        return address

    def build(self) -> npt.NDArray[np.uint8]:
        """The whole image so far."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.uint8)
