"""Quantised samples in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .errors import WrongInputError


def read_inputs(path: Path) -> Any:
    """Samples [n, ...], int8, of a file that numpy.save wrote; anything else is a ``WrongInputError``."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise WrongInputError(f"cannot read {path}: {error}; write it with numpy.save") from error
    if not isinstance(found, np.ndarray) or found.ndim < 2 or found.dtype != np.int8:
        held = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else "an archive"
        raise WrongInputError(f"{path} holds {held}; it must be one array of int8 [n, ...], by numpy.save")
    return found
