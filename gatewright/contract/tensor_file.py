"""Our safetensors files, programs and checkpoints: read without trust, and the checksum that both carry."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from gatewright.contract.errors import GatewrightError

_FAULTS = (SafetensorError, OSError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What reading a damaged file, or one of other types of numbers, may raise."""


def read_tensors(path: Path, framework: str, what: str, fix: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The metadata, and the tensors by name as arrays (``framework`` "np") or torch tensors ("pt")."""
    try:
        with safe_open(path, framework) as file:
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}
    except _FAULTS as error:
        raise GatewrightError(f"{what} {path} is damaged or not a safetensors file ({error}); {fix}") from error


def checksum(text: str, tensors: Mapping[str, npt.NDArray[np.uint8]]) -> str:
    """CRC-32 of a header's text and, in the order of their names, the tensors' bytes."""
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].tobytes(), value)
    return str(value)
