"""A gate of two fully connected layers on a global average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_filters, check_requantisation, shape_of
from gatewright.compiler.graph.exact import dense, requantise
from gatewright.compiler.graph.graph import Decisions, FloatLayer, QuantisedGraph, Requantisation, TensorShape
from gatewright.compiler.kinds.average_gate import AverageGate, QuantisedAverageGate
from gatewright.compiler.kinds.gate import decided
from gatewright.compiler.kinds.pooling import pooled_name, pooling_named
from gatewright.compiler.quantise.numbers import int8_weights, integer_bias, requantisation
from gatewright.contract.arithmetic import INT8_MAX, gate_decision

if TYPE_CHECKING:
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.quantise.quantise import Quantiser


@dataclass(frozen=True)
class ChannelGate(AverageGate):
    """What a gate with a hidden layer is in either graph."""

    @property
    def hidden_name(self) -> str:
        """The name of the hidden layer."""
        return f"{self.name}.hidden"

    def check_matrices(self, hidden: npt.NDArray[Any], weight: npt.NDArray[Any], shape: TensorShape) -> None:
        """The matrices fit each other and the channels of the map that the gate looks at."""
        if hidden.shape[1] != shape.channels or weight.shape[1] != len(hidden):
            broken(self.name, "its two matrices do not fit each other and the map that it looks at")


@dataclass(frozen=True)
class FloatChannelGate(ChannelGate, FloatLayer):
    """Global average of ``source``, two fully connected layers (the first with ReLU), logit >= 0, or > 0 if ``strict``.

    Batch normalisation is folded: ``hidden_weight`` [hidden, channels], ``weight`` [outputs, hidden].
    """

    hidden_weight: npt.NDArray[np.float64]
    hidden_bias: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    strict: bool = field(default=False, kw_only=True)

    @property
    def outputs(self) -> int:
        return len(self.weight)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.hidden_name,)

    def check(self, graph: Any) -> None:
        self.check_matrices(self.hidden_weight, self.weight, shape_of(graph, self.source))

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight, self.bias, self.hidden_weight, self.hidden_bias

    def run(self, batch: float_executor.Batch) -> None:
        weight, bias, *hidden = batch.parameters[self.name]
        neurons = F.relu(F.linear(batch.maps[self.source].mean((2, 3)), *hidden))
        batch.observe(self.hidden_name, neurons)
        batch.masks[self.name] = self.mask(decided(F.linear(neurons, weight, bias), self.strict))

    def quantise(self, quantiser: Quantiser) -> QuantisedChannelGate:
        """The average over the pooled tiles goes into the hidden layer's scale; the logits need none.

        A tile that the map's edge cuts has the sum of fewer pixels, and their share of the average.
        """
        pooled, result, name = pooled_name(self.source), quantiser.result, self.hidden_name
        shape = result.shapes[pooled]
        tiles, whole = shape.height * shape.width, result.shapes[self.source]
        pixels = whole.height * whole.width / quantiser.tiles[self.source] ** 2
        source, hidden = result.scales[pooled] / pixels, quantiser.scale(name)
        hidden_weight, hidden_scale = int8_weights(self.hidden_weight, self.hidden_bias / source)
        unit = hidden_scale * source
        scales = requantisation(name, hidden_weight, self.hidden_bias / unit, unit / hidden, tiles)
        weight, scale = int8_weights(self.weight, self.bias / hidden)
        bias = integer_bias(self.name, weight, self.bias / (scale * hidden)) - int(self.strict)
        return QuantisedChannelGate(
            self.name,
            pooled,
            hidden_weight,
            scales,
            weight,
            bias,
            input_channels=self.input_channels,
            input_tiles=self.input_tiles,
        )


@dataclass(frozen=True)
class QuantisedChannelGate(ChannelGate, QuantisedAverageGate):
    """hidden = requantise(sum over all pooled tiles of W0 x + b0) with ReLU; logits = W1 hidden + b1 >= 0.

    The hidden layer sums over the tiles of the pooled map ``source`` *after* the product, which is
    exact. ``hidden_weight`` is [hidden, channels] int8, ``weight`` [outputs, hidden] int8, ``bias``
    [outputs] int64.
    """

    hidden_weight: npt.NDArray[np.int8]
    hidden: Requantisation
    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int64]

    @property
    def outputs(self) -> int:
        return len(self.weight)

    @property
    def vector_name(self) -> str:
        return self.hidden_name

    @property
    def average_weight(self) -> npt.NDArray[np.int8]:
        return self.hidden_weight

    @property
    def average_scales(self) -> Requantisation:
        return self.hidden

    @property
    def relu(self) -> bool:
        return True

    @property
    def sign_weight(self) -> npt.NDArray[np.int8]:
        return self.weight

    @property
    def sign_bias(self) -> npt.NDArray[np.int64]:
        return self.bias

    def check(self, graph: Any) -> None:
        shape = pooling_named(graph, self.source, self.name).shape(graph)
        self.check_matrices(self.hidden_weight, self.weight, shape)
        check_requantisation(self.hidden_name, self.hidden_weight, self.hidden)
        check_filters(self.name, self.weight, self.bias)

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return 0 if decisions is None else self.hidden_weight.size + self.weight.size

    def run(self, batch: reference.Batch) -> None:
        totals = batch.maps[self.source].sum((2, 3), dtype=torch.int64)
        hidden = requantise(dense(totals, self.hidden_weight), self.hidden).clamp_(0, INT8_MAX)
        batch.hidden[self.hidden_name] = hidden.to(torch.int8)
        logits = dense(hidden, self.weight) + torch.from_numpy(self.bias)
        batch.masks[self.name] = self.mask(gate_decision(logits))
