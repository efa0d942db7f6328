"""Memories as text files for $readmemh and from $writememh."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES

Bytes = npt.NDArray[np.uint8]


def hex_lines(rows: Bytes) -> str:
    """uint8 [n, k], low byte first, as a line of hexadecimal digits for each row."""
    width = 2 * rows.shape[1]
    text = np.ascontiguousarray(rows[:, ::-1]).tobytes().hex()
    return "\n".join(text[at : at + width] for at in range(0, len(text), width)) + "\n"


def little(values: npt.NDArray[np.int64], size: int) -> Bytes:
    """Integers [n] as their low ``size`` bytes, uint8 [n, size]."""
    return np.ascontiguousarray(values.astype("<i8")).view(np.uint8).reshape(-1, 8)[:, :size]


def padded(data: Bytes, width: int) -> Bytes:
    """uint8 [n, k] with zeros behind, [n, width]."""
    return np.pad(data, ((0, 0), (0, width - data.shape[1])))


def as_beats(image: Bytes) -> Bytes:
    """A DRAM image as beats, uint8 [n, 16], the last filled up with zeros."""
    return np.pad(image, (0, -len(image) % BEAT_BYTES)).reshape(-1, BEAT_BYTES)


def read_hex(path: Path, width: int) -> Bytes:
    """What $writememh wrote, words of ``width`` bytes, as bytes in order of address."""
    # Comments and addresses are lines of their own; what is left is digits and white space, a few MiB of it.
    digits = re.sub(r"^(//|@).*$", "", path.read_text(), flags=re.MULTILINE)
    return np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, width)[:, ::-1].reshape(-1)
