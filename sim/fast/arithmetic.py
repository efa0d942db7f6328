"""The machine's arithmetic on one value at a time, for kernels."""

from __future__ import annotations

import numpy as np

from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN, INT16_MAX, INT16_MIN
from gatewright.sim.fast.kernels import kernel


@kernel
def requantise(value: int, multiplier: int, shift: int) -> int:
    """The scalar twin of ``arithmetic.requantise``."""
    rounded = int((np.int64(value) * multiplier + (np.int64(1) << (shift - 1))) >> shift)
    return min(max(rounded, INT16_MIN), INT16_MAX)


@kernel
def saturate(value: int, relu: int) -> int:
    """The scalar twin of ``arithmetic.saturate``."""
    return min(max(value, 0 if relu else INT8_MIN), INT8_MAX)


@kernel
def wrap32(value: int) -> int:
    """A sum as a 32-bit register holds it."""
    return int(np.int64(np.int32(value)))
