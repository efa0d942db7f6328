"""An early exit: a classifier in the middle of the network, which answers if a logit reaches its class's threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_filters, refuse
from gatewright.compiler.graph.exact import dense
from gatewright.compiler.graph.graph import Decisions, FloatLayer, QuantisedGraph, QuantisedLayer, Requantisation
from gatewright.compiler.kinds.classifier import Classifier
from gatewright.compiler.kinds.gate import decided
from gatewright.compiler.kinds.pooling import pooled_name, pooling_named
from gatewright.compiler.plan.averages import digits_bytes, digits_name
from gatewright.compiler.quantise.numbers import int8_weights, integer_bias
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN
from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.exits import MOST_LOGIT, integer_limits
from gatewright.contract.program_parts import LayerKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser
    from gatewright.contract.arch import ArchConfig


@dataclass(frozen=True)
class Exit(Classifier):
    """What an exit is in either graph. Its decision has a bit for each class; the image leaves if any is on."""


@dataclass(frozen=True)
class FloatExit(Exit, FloatLayer):
    """Global average of ``source``, a fully connected layer, and ``logit >= threshold``, or > if ``strict``.

    ``weight`` is [classes, channels], ``bias`` and ``thresholds`` are [classes].
    """

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    thresholds: npt.NDArray[np.float64]
    strict: bool = field(default=False, kw_only=True)

    def check(self, graph: Any) -> None:
        self.check_weights(graph, self.weight)

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight, self.bias, self.thresholds

    def run(self, batch: float_executor.Batch) -> None:
        weight, bias, thresholds = batch.parameters[self.name]
        logits = F.linear(batch.maps[self.source].mean((2, 3)), weight, bias)
        batch.outputs[self.output] = logits
        batch.masks[self.name] = decided(logits - thresholds, self.strict)

    def quantise(self, quantiser: Quantiser) -> QuantisedExit:
        """One weight scale for all classes, so that the integer logits compare; thresholds in units of the logits."""
        pooled, result = pooled_name(self.source), quantiser.result
        shape = result.shapes[pooled]
        tiles = shape.height * shape.width
        weight, scale = int8_weights(self.weight.reshape(1, -1), np.zeros(1))
        unit = float(scale[0]) * result.scales[pooled] / tiles
        weight = weight.reshape(self.weight.shape)
        bias = integer_bias(self.name, weight, self.bias / unit, tiles)
        limits = np.array(integer_limits(self.thresholds, unit, self.strict), np.int64)
        result.scales[self.output] = unit
        return QuantisedExit(self.name, pooled, self.output, weight, bias, limits, unit, strict=self.strict)


@dataclass(frozen=True)
class QuantisedExit(Exit, QuantisedLayer):
    """logits = sum over pooled tiles of W x, plus bias, in int32; a class answers if its logit is at least its limit.

    ``source`` is a pooled map, whose averages are written along with the map: of a large one no other sum is as cheap.
    ``weight`` is [classes, channels] int8, ``bias`` and ``limits`` are [classes] int64. The machine adds both biases,
    that of the logits and that less the limit, to the same sums. What it compares it has in int8, saturated, which
    keeps the sign, and multiplies each by 1 to see the signs. ``strict`` says what the thresholds were.
    """

    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int64]
    limits: npt.NDArray[np.int64]
    scale: float
    """One unit of the integer logits."""
    strict: bool = field(default=False, kw_only=True)

    @property
    def writes(self) -> tuple[str, ...]:
        return self.output, self.margins_name

    @property
    def margins_name(self) -> str:
        """The vector of logits less their limits, saturated."""
        return f"{self.name}.margins"

    @property
    def signs_name(self) -> str:
        """The filter of one weight that the vector is multiplied by."""
        return f"{self.name}.signs"

    @property
    def decision_shape(self) -> tuple[int, ...]:
        """Of its decision on one image."""
        return (len(self.weight),)

    def check(self, graph: Any) -> None:
        shape = pooling_named(graph, self.source, self.name).shape(graph)
        if self.weight.shape[1] != shape.channels:
            broken(self.name, f"weights {list(self.weight.shape)} do not fit the map that it looks at")
        check_filters(self.name, self.weight, self.bias)
        sums = np.abs(self.weight.astype(np.int64)).sum(1) * (shape.height * shape.width * -INT8_MIN)
        largest = int((sums + np.abs(self.bias)).max(initial=0))
        if largest >= MOST_LOGIT or int(np.abs(self.limits).max(initial=0)) > MOST_LOGIT:
            refuse(
                self.name,
                f"its logits can reach {largest}; those of an early exit must stay below {MOST_LOGIT}, so that any "
                "threshold can be taken from them: use fewer channels, a smaller map, or a smaller bias",
            )

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return 0 if decisions is None else self.weight.size

    def run(self, batch: reference.Batch) -> None:
        totals = batch.maps[self.source].sum((2, 3), dtype=torch.int64)
        logits = dense(totals, self.weight) + torch.from_numpy(self.bias)
        margins = logits - torch.from_numpy(self.limits)
        batch.outputs[self.output] = logits.to(torch.int32)
        batch.hidden[self.margins_name] = margins.clamp(INT8_MIN, INT8_MAX).to(torch.int8)
        batch.masks[self.name] = margins >= 0

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.output: LOGIT_BYTES * len(self.weight), self.margins_name: len(self.weight)}

    def scratch(self, graph: QuantisedGraph, arch: ArchConfig) -> dict[str, int]:
        shape = pooling_named(graph, self.source, self.name).shape(graph)
        return {digits_name(self.name): digits_bytes(shape, len(self.weight), arch)}

    @property
    def banks(self) -> tuple[str, ...]:
        return self.name, self.signs_name

    def lay_out(self, image: NetworkImage) -> None:
        both = Requantisation.unscaled(np.concatenate([self.bias, self.bias - self.limits]))
        image.add_parameters(self.name, both)
        image.bank_layout.by_vector(self.name, self.weight, vector=True)
        image.add_parameters(self.signs_name, Requantisation.bias_only(np.zeros(1, np.int64)))
        image.bank_layout.by_vector(self.signs_name, np.ones((1, 1), np.int8), vector=True)

    def without_gates(self) -> None:
        return None

    @property
    def role(self) -> LayerKind:
        return "gate"

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        lowering.exits.emit(self)

    def advance(self, lowering: Lowering, rows: int, pixel_rows: int) -> None:
        lowering.advance_classifier(self, rows)
