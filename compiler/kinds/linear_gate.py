"""A gate of one fully connected layer on a global average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from gatewright.compiler.graph.checks import check_filters, shape_of
from gatewright.compiler.graph.exact import dense
from gatewright.compiler.graph.graph import Decisions, FloatLayer, QuantisedGraph, Requantisation
from gatewright.compiler.kinds.average_gate import AverageGate, QuantisedAverageGate
from gatewright.compiler.kinds.gate import decided
from gatewright.compiler.kinds.pooling import pooled_name, pooling_named
from gatewright.compiler.quantise.numbers import int8_weights, integer_bias
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN, gate_decision

if TYPE_CHECKING:
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.quantise.quantise import Quantiser


@dataclass(frozen=True)
class FloatLinearGate(AverageGate, FloatLayer):
    """Global average of ``source``, a fully connected layer, logit >= 0, or > 0 if ``strict``.

    ``weight`` is [outputs, channels], ``bias`` [outputs].
    """

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    strict: bool = field(default=False, kw_only=True)

    @property
    def outputs(self) -> int:
        return len(self.weight)

    @property
    def writes(self) -> tuple[str, ...]:
        return ()

    def check(self, graph: Any) -> None:
        self.check_average(self.weight, shape_of(graph, self.source))

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight, self.bias

    def run(self, batch: float_executor.Batch) -> None:
        logits = F.linear(batch.maps[self.source].mean((2, 3)), *batch.parameters[self.name])
        batch.masks[self.name] = self.mask(decided(logits, self.strict))

    def quantise(self, quantiser: Quantiser) -> QuantisedLinearGate:
        """A weight scale for each output: the logits need none in common."""
        pooled, result = pooled_name(self.source), quantiser.result
        shape = result.shapes[pooled]
        tiles = shape.height * shape.width
        source = result.scales[pooled] / tiles
        weight, scale = int8_weights(self.weight, self.bias / source)
        bias = integer_bias(self.name, weight, self.bias / (scale * source), tiles) - int(self.strict)
        return QuantisedLinearGate(
            self.name,
            pooled,
            weight,
            bias,
            input_channels=self.input_channels,
            input_tiles=self.input_tiles,
        )


@dataclass(frozen=True)
class QuantisedLinearGate(QuantisedAverageGate):
    """sum over all pooled tiles of W x, plus b, >= 0. ``weight`` is [outputs, channels] int8, ``bias`` [outputs] int64.

    The machine has the sums in int8, saturated, which keeps their signs, and multiplies each by 1 to see them.
    """

    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int64]

    @property
    def outputs(self) -> int:
        return len(self.weight)

    @property
    def vector_name(self) -> str:
        return f"{self.name}.sums"

    @property
    def average_weight(self) -> npt.NDArray[np.int8]:
        return self.weight

    @property
    def average_scales(self) -> Requantisation:
        return Requantisation.unscaled(self.bias)

    @property
    def relu(self) -> bool:
        return False

    @property
    def sign_weight(self) -> npt.NDArray[np.int8]:
        return np.ones((1, 1), np.int8)

    @property
    def sign_bias(self) -> npt.NDArray[np.int64]:
        return np.zeros(1, np.int64)

    def check(self, graph: Any) -> None:
        self.check_average(self.weight, pooling_named(graph, self.source, self.name).shape(graph))
        check_filters(self.name, self.weight, self.bias)

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return 0 if decisions is None else self.weight.size

    def run(self, batch: reference.Batch) -> None:
        totals = batch.maps[self.source].sum((2, 3), dtype=torch.int64)
        sums = dense(totals, self.weight) + torch.from_numpy(self.bias)
        batch.hidden[self.vector_name] = sums.clamp(INT8_MIN, INT8_MAX).to(torch.int8)
        batch.masks[self.name] = self.mask(gate_decision(sums))
