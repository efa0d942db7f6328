"""What layers without weights and gates answer: max pools, bins, constant maps, maps that are returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import Decisions, FloatLayer, QuantisedGraph, QuantisedLayer
from gatewright.contract.program_parts import LayerKind


@dataclass(frozen=True)
class FloatWithoutWeights(FloatLayer):
    """In floating point: no parameters."""

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return ()


@dataclass(frozen=True)
class QuantisedWithoutWeights(QuantisedLayer):
    """In integers: nothing is multiplied, and the dense baseline has it as it is."""

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return 0

    def without_gates(self) -> Self:
        return self

    @property
    def role(self) -> LayerKind:
        return "ungated"
