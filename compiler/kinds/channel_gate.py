"""A gate that decides per channel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_filters, check_requantisation, shape_of
from gatewright.compiler.graph.exact import dense, requantise
from gatewright.compiler.graph.graph import (
    Decisions,
    FloatLayer,
    Layer,
    QuantisedGraph,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.compiler.kinds.pooling import pooled_name, pooling_named
from gatewright.compiler.plan.averages import digits_bytes, digits_name
from gatewright.compiler.quantise.numbers import int8_weights, integer_bias, requantisation
from gatewright.contract.arithmetic import INT8_MAX, gate_decision

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser
    from gatewright.contract.arch import ArchConfig


@dataclass(frozen=True)
class ChannelGate(Layer):
    """What a channel gate is in either graph: it looks at the map ``source`` (pooled, in integers).

    ``input_channels`` and ``input_tiles`` name the gates that masked that map, in whose average what was skipped counts
    as zeros.
    """

    source: str
    input_channels: str | None = field(default=None, kw_only=True)
    input_tiles: str | None = field(default=None, kw_only=True)

    @property
    def hidden_name(self) -> str:
        """The name of the hidden layer."""
        return f"{self.name}.hidden"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.hidden_name,)

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates whose decisions the layer needs."""
        return tuple(name for name in (self.input_channels, self.input_tiles) if name is not None)

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Channels that the gate decides."""

    def fits(self, shape: TensorShape) -> bool:
        """Whether the mask has a bit for every channel of a map of this shape."""
        return self.outputs == shape.channels

    def check_matrices(self, hidden: npt.NDArray[Any], weight: npt.NDArray[Any], shape: TensorShape) -> None:
        """The matrices fit each other and the channels of the map that the gate looks at."""
        if hidden.shape[1] != shape.channels or weight.shape[1] != len(hidden):
            broken(self.name, "its two matrices do not fit each other and the map that it looks at")


@dataclass(frozen=True)
class FloatChannelGate(ChannelGate, FloatLayer):
    """Global average of ``source``, two fully connected layers (the first with ReLU), logit >= 0.

    Batch normalisation is folded: ``hidden_weight`` [hidden, channels], ``weight`` [outputs, hidden].
    """

    hidden_weight: npt.NDArray[np.float64]
    hidden_bias: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    @property
    def outputs(self) -> int:
        return len(self.weight)

    def check(self, graph: Any) -> None:
        self.check_matrices(self.hidden_weight, self.weight, shape_of(graph, self.source))

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight, self.bias, self.hidden_weight, self.hidden_bias

    def run(self, batch: float_executor.Batch) -> None:
        weight, bias, *hidden = batch.parameters[self.name]
        neurons = F.relu(F.linear(batch.maps[self.source].mean((2, 3)), *hidden))
        batch.observe(self.hidden_name, neurons)
        batch.masks[self.name] = gate_decision(F.linear(neurons, weight, bias))

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
        bias = integer_bias(self.name, weight, self.bias / (scale * hidden))
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
class QuantisedChannelGate(ChannelGate, QuantisedGate):
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
    def decision_shape(self) -> tuple[int, ...]:
        return (self.outputs,)

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
        batch.masks[self.name] = gate_decision(dense(hidden, self.weight) + torch.from_numpy(self.bias))

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.hidden_name: len(self.hidden_weight)}

    def scratch(self, graph: QuantisedGraph, arch: ArchConfig) -> dict[str, int]:
        if self.gates:
            return {}  # what was skipped of the map is not there to be summed
        shape = pooling_named(graph, self.source, self.name).shape(graph)
        return {digits_name(self.name): digits_bytes(shape, len(self.hidden_weight), arch)}

    @property
    def banks(self) -> tuple[str, ...]:
        return self.hidden_name, self.name

    def lay_out(self, image: NetworkImage) -> None:
        image.add_parameters(self.hidden_name, self.hidden)
        if self.input_channels is None:
            image.add_by_vector(self.hidden_name, self.hidden_weight, vector=True)
        else:
            weight = self.hidden_weight[:, np.newaxis, np.newaxis]
            image.add_by_reduction(self.hidden_name, weight, self.input_channels, vector=True)
        image.add_parameters(self.name, Requantisation.bias_only(self.bias))
        image.add_by_vector(self.name, self.weight, vector=True)

    def advance(self, lowering: Lowering, rows: int, pixel_rows: int) -> None:
        lowering.gates.advance(self, rows)
