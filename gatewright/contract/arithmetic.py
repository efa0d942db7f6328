"""The machine's integer arithmetic: the one definition of rounding, saturation and the gate threshold."""

from __future__ import annotations

import math
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError

ACCUMULATOR_BITS = 32
"""Of accumulator entries, biases and sums over entries, which wrap around; a bias is added without a loss."""

MULTIPLIER_BITS = 16
SHIFT_MAX = 47
INT8_MIN, INT8_MAX = -128, 127
INT16_MIN, INT16_MAX = -(1 << 15), (1 << 15) - 1

Decisions = TypeVar("Decisions", covariant=True)


def requantise(
    accumulator: npt.NDArray[np.int64], multiplier: npt.NDArray[np.int64] | int, shift: npt.NDArray[np.int64] | int
) -> npt.NDArray[np.int64]:
    """Scale sums of two int32 values by ``multiplier / 2**shift``, rounding half up, to int16.

    ``multiplier`` is 16 bits unsigned, ``shift`` is 1 to 47. The result saturates at int16, so that
    a residual may be added before the last saturation to int8.
    """
    product = accumulator.astype(np.int64) * multiplier
    rounded = (product + (np.int64(1) << (np.asarray(shift, np.int64) - 1))) >> shift
    return np.clip(rounded, INT16_MIN, INT16_MAX)


def wrap(sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """What a register of ACCUMULATOR_BITS holds of sums: their low bits, signed."""
    return sums.astype(np.int32).astype(np.int64)


def saturate(values: npt.NDArray[np.int64], relu: bool) -> npt.NDArray[np.int8]:
    """Clip to int8; with ``relu`` the lower bound is 0."""
    return np.clip(values, 0 if relu else INT8_MIN, INT8_MAX).astype(np.int8)


class _Comparable(Protocol[Decisions]):
    def __ge__(self, other: int, /) -> Decisions: ...


def gate_decision(logits: _Comparable[Decisions]) -> Decisions:
    """A gate is on where its logit (on the machine: accumulator plus bias) is at least 0; ties are on.

    For arrays and tensors; the result has their shape, bool.
    """
    return logits >= 0


def quantise_scale(scale: float) -> tuple[int, int]:
    """The (multiplier, shift) whose quotient is nearest to a positive real scale.

    The multiplier uses all its 16 bits wherever the shift's range allows.
    """
    if not (math.isfinite(scale) and scale >= 0):
        raise GatewrightError(f"a requantisation scale must be finite and not negative, got {scale}")
    if scale == 0:
        return 0, 1
    mantissa, exponent = math.frexp(scale)
    shift = MULTIPLIER_BITS - exponent
    multiplier = round(mantissa * (1 << MULTIPLIER_BITS))
    if multiplier == 1 << MULTIPLIER_BITS:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift < 1:
        raise GatewrightError(f"requantisation scale {scale} is too large: it must be below {2**15}")
    if shift > SHIFT_MAX:
        multiplier, shift = round(math.ldexp(scale, SHIFT_MAX)), SHIFT_MAX
    return multiplier, shift
