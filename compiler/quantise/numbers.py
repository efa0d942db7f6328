"""The arithmetic of quantisation: from real weights, biases and factors to the machine's integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import Requantisation
from gatewright.contract.arithmetic import ACCUMULATOR_BITS, INT8_MAX, INT8_MIN, quantise_scale
from gatewright.contract.errors import GatewrightError

ACCUMULATOR_MAX = (1 << ACCUMULATOR_BITS - 1) - 1

BIAS_MAX = 1 << 29
"""A channel whose weights are so small that its bias would exceed this gets a coarser weight scale."""

Array = npt.NDArray[np.float64]


def requantisation(name: str, weight: npt.NDArray[np.int8], bias: Array, scale: Array, sums: int = 1) -> Requantisation:
    """The bias in accumulator units and each filter's ``scale`` [filters], for ``sums`` products of each row."""
    pairs = [multiplier_and_shift(name, float(s)) for s in scale]
    multiplier, shift = np.array(pairs, np.int64).T.copy()
    return Requantisation(integer_bias(name, weight, bias, sums), multiplier, shift)


def integer_bias(name: str, weight: npt.NDArray[np.int8], bias: Array, sums: int = 1) -> npt.NDArray[np.int64]:
    """The bias in accumulator units; proves that no accumulator leaves int32, whatever int8 values come.

    It adds up ``sums`` products of each weight of a row, in any order, and the bias: at most 128 times the weights'
    magnitudes, which are less than 127 each.
    """
    magnitudes = np.abs(weight.reshape(len(weight), -1).astype(np.int64)).sum(1) * sums
    largest = magnitudes * -INT8_MIN + np.abs(bias)
    row = int(largest.argmax())
    if not largest[row] + 1 <= ACCUMULATOR_MAX:
        raise GatewrightError(
            f"layer {name}: filter {row}'s weights add up to {magnitudes[row]:,}, so that its sum and its bias can "
            f"reach {largest[row]:.3g}, beyond the int32 accumulator ({ACCUMULATOR_MAX}); use fewer input channels, "
            "or a smaller bias"
        )
    return np.rint(bias).astype(np.int64)


def int8_weights(weight: Array, bias: Array, unit: Array | None = None) -> tuple[npt.NDArray[np.int8], Array]:
    """int8 weights (-127 to 127) of each row, and the rows' scales [rows].

    A row's scale is also large enough for its bias (in units of weight scale 1) to stay below
    ``BIAS_MAX``: weights that are nothing beside their bias lose precision, not the bias. ``unit`` [rows] are the
    scales of a network that is quantised already; a row keeps its own where it has room for its weights and its bias.
    """
    scale = np.maximum(np.abs(weight).max(1) / INT8_MAX, np.abs(bias) / BIAS_MAX)
    if unit is not None:
        scale = np.where(unit * (1 + 0.25 / INT8_MAX) >= scale, unit, scale)
    scale = np.where(scale > 0, scale, 1.0)
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


def multiplier_and_shift(name: str, scale: float) -> tuple[int, int]:
    """The integers for one factor of the layer ``name``."""
    try:
        return quantise_scale(scale)
    except GatewrightError as error:
        raise GatewrightError(f"layer {name}: {error}") from error
