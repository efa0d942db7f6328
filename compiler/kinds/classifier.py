"""The last layer: a global average and a fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_filters, shape_of
from gatewright.compiler.graph.exact import dense
from gatewright.compiler.graph.graph import Decisions, FloatLayer, Layer, QuantisedGraph, QuantisedLayer, Requantisation
from gatewright.compiler.plan.averages import digits_bytes, digits_name
from gatewright.compiler.quantise.numbers import int8_weights, integer_bias
from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.program_parts import LayerKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser
    from gatewright.contract.arch import ArchConfig


@dataclass(frozen=True)
class Classifier(Layer):
    """What a classifier is in either graph: from the map ``source`` to the logits ``output``."""

    source: str
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    @property
    def gives(self) -> str:
        return self.output

    def check_weights(self, graph: Any, weight: npt.NDArray[Any]) -> None:
        """The weights have the channels of the map."""
        if weight.shape[1] != shape_of(graph, self.source).channels:
            broken(self.name, f"weights {list(weight.shape)} do not fit the map that it reads")


@dataclass(frozen=True)
class FloatClassifier(Classifier, FloatLayer):
    """Global average of ``source`` and a fully connected layer: the logits.

    ``unit`` [classes] is the value of one unit of each row's weights, if the network brings it along.
    """

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    unit: npt.NDArray[np.float64] | None = None

    def check(self, graph: Any) -> None:
        self.check_weights(graph, self.weight)

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight, self.bias

    def run(self, batch: float_executor.Batch) -> None:
        logits = F.linear(batch.maps[self.source].mean((2, 3)), *batch.parameters[self.name])
        batch.outputs[self.output] = logits

    def quantise(self, quantiser: Quantiser) -> QuantisedClassifier:
        """One weight scale for all classes, so that the integer logits compare."""
        result = quantiser.result
        shape = result.shapes[self.source]
        pixels = shape.height * shape.width
        alike = self.unit is not None and bool((self.unit == self.unit[0]).all())
        unit_of_all = self.unit[:1] if self.unit is not None and alike else None
        weight, scale = int8_weights(self.weight.reshape(1, -1), np.zeros(1), unit_of_all)
        unit = float(scale[0]) * result.scales[self.source] / pixels
        weight = weight.reshape(self.weight.shape)
        bias = integer_bias(self.name, weight, self.bias / unit, pixels)
        result.scales[self.output] = unit
        return QuantisedClassifier(self.name, self.source, self.output, weight, bias, unit)


@dataclass(frozen=True)
class QuantisedClassifier(Classifier, QuantisedLayer):
    """logits = sum over pixels of W x, plus bias, in int32. ``weight`` is [classes, channels] int8."""

    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int64]
    scale: float
    """One unit of the integer logits."""

    def check(self, graph: Any) -> None:
        self.check_weights(graph, self.weight)
        check_filters(self.name, self.weight, self.bias)

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return self.weight.size

    def run(self, batch: reference.Batch) -> None:
        totals = batch.maps[self.source].sum((2, 3), dtype=torch.int64)
        batch.outputs[self.output] = (dense(totals, self.weight) + torch.from_numpy(self.bias)).to(torch.int32)

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.output: LOGIT_BYTES * len(self.weight)}

    def scratch(self, graph: QuantisedGraph, arch: ArchConfig) -> dict[str, int]:
        return {digits_name(self.name): digits_bytes(graph.shapes[self.source], len(self.weight), arch)}

    def lay_out(self, image: NetworkImage) -> None:
        image.add_parameters(self.name, Requantisation.bias_only(self.bias))
        if image.head is None and not image.follows(self.name):
            image.bank_layout.by_vector(self.name, self.weight, vector=True)
        else:
            image.bank_layout.by_reduction(self.name, self.weight[:, None, None], None)

    def without_gates(self) -> QuantisedClassifier:
        return self

    @property
    def role(self) -> LayerKind:
        return "ungated"

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        lowering.classifier(self)

    def advance(self, lowering: Lowering, rows: int, pixel_rows: int) -> None:
        lowering.advance_classifier(self, pixel_rows)
