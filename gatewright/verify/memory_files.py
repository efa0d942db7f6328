"""Memories as files of bytes: words for ``$fread``, and what ``$fwrite`` left of one.

``$fread`` takes a word's high byte first, ``$fwrite`` of ``%u`` leaves its low byte first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES

Bytes = npt.NDArray[np.uint8]


def words(rows: Bytes) -> bytes:
    """uint8 [n, k], low byte first, as ``$fread`` takes n words of k bytes."""
    return np.ascontiguousarray(rows[:, ::-1]).tobytes()


def read_words(path: Path, width: int) -> Bytes:
    """The rows [n, width] of ``words``, low byte first."""
    return np.fromfile(path, np.uint8).reshape(-1, width)[:, ::-1]


def little(values: npt.NDArray[np.int64], size: int) -> Bytes:
    """Integers [n] as their low ``size`` bytes, uint8 [n, size]."""
    return np.ascontiguousarray(values.astype("<i8")).view(np.uint8).reshape(-1, 8)[:, :size]


def padded(data: Bytes, width: int) -> Bytes:
    """uint8 [n, k] with zeros behind, [n, width]."""
    return np.pad(data, ((0, 0), (0, width - data.shape[1])))


def as_beats(image: Bytes) -> Bytes:
    """A DRAM image as beats, uint8 [n, 16], the last filled up with zeros."""
    return np.pad(image, (0, -len(image) % BEAT_BYTES)).reshape(-1, BEAT_BYTES)
