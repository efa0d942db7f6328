"""Programs on disk: whether two are the same, and how one becomes another that its checksum does not give away."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from gatewright.contract.program import Program


def assert_equal(left: Program, right: Program) -> None:
    for field in fields(Program):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and np.array_equal(a, b), field.name
        else:
            assert a == b, field.name


def edit_header(
    path: Path,
    update: dict[str, object],
    remove: str | None = None,
    change: Callable[[dict[str, Any]], object] = lambda header: None,
    text: Callable[[str], str] = lambda text: text,
    tensors: dict[str, Any] | None = None,
) -> None:
    """Edit a program's header, its text, or its tensors, and make the checksum right again."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    header = json.loads(metadata["program"])
    header.update(update)
    change(header)
    if remove is not None:
        del header[remove]
    edited = text(json.dumps(header))
    tensors = {**load_file(path), **(tensors or {})}
    checksum = zlib.crc32(edited.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].tobytes(), checksum)
    save_file(tensors, path, {**metadata, "program": edited, "checksum": str(checksum)})
