"""What a layer's own rules are written with. The rules between layers are in ``verify`` and ``in_place``."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import Graph, Requantisation, TensorShape
from gatewright.contract.arithmetic import MULTIPLIER_BITS, SHIFT_MAX
from gatewright.contract.errors import GatewrightError


class BrokenGraph(AssertionError):
    """A stage of the compiler made a graph that means nothing: a fault of ours, not of the network."""


def broken(name: str, reason: str) -> NoReturn:
    """The rule that is broken only our own stages can break."""
    raise BrokenGraph(f"layer {name}: {reason}")


def refuse(name: str, reason: str) -> NoReturn:
    """The network is not one that the machine computes."""
    raise GatewrightError(f"layer {name}: {reason}")


def shape_of(graph: Graph, tensor: str) -> TensorShape:
    """The shape of a feature map, which the graph must know."""
    if tensor not in graph.shapes:
        broken(tensor, "the graph has no shape for this feature map")
    return graph.shapes[tensor]


def check_filters(name: str, weight: npt.NDArray[np.int8], bias: npt.NDArray[np.int64]) -> None:
    """int8 weights, and an int32 bias for each filter."""
    if weight.dtype != np.int8 or len(weight) != len(bias):
        broken(name, "its weights are not int8 with one bias for each filter")
    if not _within(bias, -(1 << 31), (1 << 31) - 1):
        broken(name, "its biases are not int32 values")


def check_requantisation(name: str, weight: npt.NDArray[np.int8], scales: Requantisation) -> None:
    """As ``check_filters``; and for each filter a multiplier of 16 bits and a shift within the shifter."""
    check_filters(name, weight, scales.bias)
    fits = len(scales.multiplier) == len(scales.shift) == len(weight)
    fits = fits and _within(scales.multiplier, 0, (1 << MULTIPLIER_BITS) - 1) and _within(scales.shift, 1, SHIFT_MAX)
    if not fits:
        broken(name, "its multipliers or shifts are not those of the machine, one for each filter")


def _within(values: npt.NDArray[np.int64], low: int, high: int) -> bool:
    return values.dtype == np.int64 and bool(((values >= low) & (values <= high)).all())
