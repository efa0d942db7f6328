"""Gates on a global average: what those of one and of two fully connected layers have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gatewright.compiler.graph.checks import broken
from gatewright.compiler.graph.graph import Layer, QuantisedGraph, Requantisation, TensorShape
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.compiler.kinds.pooling import pooling_named
from gatewright.compiler.plan.averages import digits_bytes, digits_name

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.contract.arch import ArchConfig


@dataclass(frozen=True)
class AverageGate(Layer):
    """What such a gate is in either graph: it looks at the map ``source`` (pooled, in integers).

    It decides for each channel of a map. One of one output decides whether maps are computed at all: a spatial gate
    of one tile, as large as the map. ``input_channels`` and ``input_tiles`` name the gates that masked the map that it
    looks at, in whose average what was skipped counts as zeros.
    """

    source: str
    input_channels: str | None = field(default=None, kw_only=True)
    input_tiles: str | None = field(default=None, kw_only=True)

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates whose decisions the layer needs."""
        return tuple(name for name in (self.input_channels, self.input_tiles) if name is not None)

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Decisions that the gate makes."""

    @property
    def whole(self) -> bool:
        """Whether it decides about whole maps, and not about their channels."""
        return self.outputs == 1

    def fits(self, shape: TensorShape) -> bool:
        """Whether the mask is one for a map of this shape: it has a bit for every channel, or for the whole."""
        return self.whole or self.outputs == shape.channels

    def mask(self, bits: Tensor) -> Tensor:
        """Decisions [B, outputs] as the layers that they mask find them: [B, 1, 1] of a single tile."""
        return bits.view(-1, 1, 1) if self.whole else bits

    def check_average(self, weight: npt.NDArray[Any], shape: TensorShape) -> None:
        """The first matrix has a column for each channel of the map that the gate looks at."""
        if weight.shape[1] != shape.channels:
            broken(self.name, f"its weights {list(weight.shape)} do not fit the map that it looks at")


@dataclass(frozen=True)
class QuantisedAverageGate(AverageGate, QuantisedGate):
    """The same in integers: of the sum over the pooled tiles an int8 vector is made, and of that one the bits.

    Either step has filters and parameters of its own, called like the vector and like the gate.
    """

    @property
    @abstractmethod
    def vector_name(self) -> str:
        """The name of the vector."""

    @property
    @abstractmethod
    def average_weight(self) -> npt.NDArray[np.int8]:
        """What the pooled tiles are multiplied by: [length of the vector, channels]."""

    @property
    @abstractmethod
    def average_scales(self) -> Requantisation:
        """How the sums over the tiles become the vector."""

    @property
    @abstractmethod
    def relu(self) -> bool:
        """Whether the vector's values below 0 are 0."""

    @property
    @abstractmethod
    def sign_weight(self) -> npt.NDArray[np.int8]:
        """What the vector is multiplied by: [outputs, length]; or [1, 1], each of its values by itself."""

    @property
    @abstractmethod
    def sign_bias(self) -> npt.NDArray[np.int64]:
        """What is added to the products, [outputs] or [1]: their signs are the bits."""

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.vector_name,)

    @property
    def decision_shape(self) -> tuple[int, ...]:
        return (1, 1) if self.whole else (self.outputs,)

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.vector_name: len(self.average_weight)}

    def scratch(self, graph: QuantisedGraph, arch: ArchConfig) -> dict[str, int]:
        if self.gates:
            return {}  # what was skipped of the map is not there to be summed
        shape = pooling_named(graph, self.source, self.name).shape(graph)
        return {digits_name(self.name): digits_bytes(shape, len(self.average_weight), arch)}

    @property
    def banks(self) -> tuple[str, ...]:
        return self.vector_name, self.name

    def lay_out(self, image: NetworkImage) -> None:
        image.add_parameters(self.vector_name, self.average_scales)
        weight = self.average_weight[:, np.newaxis, np.newaxis]
        if image.follows(self.vector_name):
            image.bank_layout.by_reduction(self.vector_name, weight, None)
        elif self.input_channels is None:
            image.bank_layout.by_vector(self.vector_name, self.average_weight, vector=True)
        else:
            image.bank_layout.by_reduction(self.vector_name, weight, self.input_channels, vector=True)
        image.add_parameters(self.name, Requantisation.bias_only(self.sign_bias))
        image.bank_layout.by_vector(self.name, self.sign_weight, vector=True)

    def advance(self, lowering: Lowering, rows: int, pixel_rows: int) -> None:
        lowering.gates.advance(self, rows)
