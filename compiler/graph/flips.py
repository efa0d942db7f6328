"""How often int8 arithmetic flips a gate's decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError


@dataclass(frozen=True)
class FlipReport:
    """Shares (0 to 1) of decisions that differ: of all gates together, and by gate."""

    overall: float
    gates: dict[str, float]


def flip_report(
    float_decisions: Mapping[str, npt.NDArray[np.bool_]], int_decisions: Mapping[str, npt.NDArray[np.bool_]]
) -> FlipReport:
    """Compare the decisions of ``run_float`` and ``run_reference`` on the same images.

    Both networks run freely: a flip may follow from an earlier one. A network without gates has no
    flips.
    """
    if float_decisions.keys() != int_decisions.keys():
        difference = sorted(float_decisions.keys() ^ int_decisions.keys())
        raise GatewrightError(f"decisions of different networks: {', '.join(difference)} is on one side only")
    flipped, total, gates = 0, 0, {}
    for name, expected in float_decisions.items():
        if expected.shape != int_decisions[name].shape:
            raise GatewrightError(
                f"gate {name}: decisions of shape {list(expected.shape)} and {list(int_decisions[name].shape)}; "
                "compare runs on the same images"
            )
        different = int((expected != int_decisions[name]).sum())
        gates[name] = different / expected.size
        flipped, total = flipped + different, total + expected.size
    return FlipReport(flipped / total if total else 0.0, gates)
