"""A slot of EPILOGUE: what one cycle puts into the pipeline, and what it has become on its way down."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import numpy.typing as npt


class Kind(Enum):
    """What a slot does on its way down the pipeline."""

    PARAMETER = auto()
    """Read a parameter entry into one lane's registers, or into all."""
    ENTRY = auto()
    """Turn an accumulator entry into bytes and write them (one pixel, some filters)."""
    SUM = auto()
    """Add an accumulator entry to the reduction registers."""
    TOTAL = auto()
    """Turn the reduction registers into bytes, or into int32, and write them."""
    SIGN = auto()
    """Turn an accumulator entry into mask bits."""
    COLLECT = auto()
    """Turn an accumulator entry (one filter, some pixels) into bytes for the transposer."""
    TRANSPOSED = auto()
    """Write one pixel's bytes from the transposer."""
    POOL = auto()
    """Turn a tile's sums, or a window's maximum or sum, into bytes and write them."""
    WINDOW = auto()
    """Take a pixel's bytes from the residual's queue into the maximum or the sum of a window."""
    HIGH = auto()
    """Write the upper digit of a window's sum."""
    LOW = auto()
    """Write the lower digit."""
    TAP = auto()
    """Add a lane of an accumulator entry, if there is one, to a window's sum."""
    TAPPED = auto()
    """Turn that sum into a mask bit."""
    WEIGHTS = auto()
    """Read a parameter entry into one lane's weights of a kernel."""
    KERNEL = auto()
    """Multiply a pixel's bytes from the residual's queue by a row of the kernel."""
    KERNEL_SUM = auto()
    """Turn the sums of the windows that are complete into bytes and write them."""


@dataclass
class Slot:
    """One cycle of the pipeline. ``address`` is a byte or a mask bit; None where nothing is to be written."""

    kind: Kind
    last: bool = False
    entry: int | None = 0
    lane: int | None = None
    """PARAMETER: the lane, None for all. TRANSPOSED: the pixel's lane. COLLECT: the transposer's row. TAP: the lane."""
    parameter: int = 0
    address: int | None = None
    count: int = 0
    """Lanes with results."""
    first: bool = False
    """SUM: the first of its block. ENTRY with pool: the first of its tile. WINDOW, TAP: the first of its window."""
    row: int = 0
    """WEIGHTS: which of a channel's parameter entries it is. KERNEL: the row of the kernel."""
    # Pipeline registers.
    raw: tuple[int, int, int] = (0, 0, 0)
    value: npt.NDArray[np.int64] | None = None
    multiplier: npt.NDArray[np.int64] | None = None
    data: npt.NDArray[np.int8] | None = None
