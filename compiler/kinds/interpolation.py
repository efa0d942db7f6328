"""Bilinear upsampling of a small map: each pixel of the output is a weighted sum of the small map's pixels.

The weights depend on places alone. So the output is a 1x1 convolution of a constant map, whose channels are a pixel's
weights, by filters that are the small map: channel c is a filter, and its pixels are the filter's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_requantisation, refuse, shape_of
from gatewright.compiler.graph.exact import scaled
from gatewright.compiler.graph.graph import (
    Decisions,
    QuantisedGraph,
    QuantisedLayer,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.without_weights import FloatWithoutWeights, QuantisedWithoutWeights
from gatewright.compiler.quantise.numbers import multiplier_and_shift
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser

ONE = INT8_MAX
"""What a pixel's weights add up to in integers: what is the same everywhere stays so."""

MOST_PIXELS = 64
"""Pixels of a small map: the constant map has as many channels."""


def weights_of(source: TensorShape, output: TensorShape, align_corners: bool) -> npt.NDArray[np.int8]:
    """The weights [output height, output width, source pixels] int8; those of a pixel add up to ``ONE``.

    They are rounded down, and what is missing is given to those that lost most.
    """
    units = torch.eye(source.height * source.width, dtype=torch.float64).unflatten(1, (source.height, source.width))
    size = output.height, output.width
    exact = F.interpolate(units[None], size, mode="bilinear", align_corners=align_corners)[0]
    shares = exact.permute(1, 2, 0).numpy() * ONE
    rounded = np.floor(shares + 1e-9)
    missing = (ONE - rounded.sum(2)).round().astype(np.int64)
    order = np.argsort(rounded - shares, axis=2, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[2])[None, None], 2)
    weights: npt.NDArray[np.int8] = (rounded + (ranks < missing[:, :, None])).astype(np.int8)
    return weights


@dataclass(frozen=True)
class FloatInterpolation(FloatWithoutWeights):
    """Bilinear upsampling of ``source`` to ``output`` of ``size`` (rows, columns), in floating point."""

    source: str
    output: str
    size: tuple[int, int]
    align_corners: bool

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def check(self, graph: Any) -> None:
        source, output = shape_of(graph, self.source), shape_of(graph, self.output)
        if source.height * source.width > MOST_PIXELS:
            refuse(
                self.name,
                f"bilinear upsampling of {source.height}x{source.width} pixels; supported are maps of {MOST_PIXELS} "
                "pixels at most, such as those of pyramid pooling: leave the upsampling of larger ones to the host",
            )
        if source.channels != output.channels:
            broken(self.name, f"it makes {output.channels} channels of {source.channels}")

    def run(self, batch: float_executor.Batch) -> None:
        small = batch.maps[self.source]
        value = F.interpolate(small, self.size, mode="bilinear", align_corners=self.align_corners)
        batch.write(self.output, value)

    def quantise(self, quantiser: Quantiser) -> QuantisedInterpolation:
        """The constant map, and the product of it."""
        result, places = quantiser.result, f"{self.name}.places"
        source, output = result.shapes[self.source], result.shapes[self.output]
        values = weights_of(source, output, self.align_corners)
        result.shapes[places] = TensorShape(values.shape[2], output.height, output.width)
        result.scales[places] = 1 / ONE
        result.layers.append(QuantisedConstant(places, places, values))
        scale = result.scales[self.source] / (ONE * quantiser.scale(self.output))
        multiplier, shift = multiplier_and_shift(self.name, scale)
        channels = source.channels
        numbers = (np.full(channels, value, np.int64) for value in (0, multiplier, shift))
        return QuantisedInterpolation(
            self.name,
            places,
            self.output,
            stride=1,
            padding=0,
            relu=False,
            weight=np.broadcast_to(np.int8(0), (channels, 1, 1, values.shape[2])),
            requantisation=Requantisation(*numbers),
            filters_from=self.source,
        )


@dataclass(frozen=True)
class QuantisedConstant(QuantisedWithoutWeights):
    """A map ``output`` of the same ``values`` [height, width, channels] for every image."""

    output: str
    values: npt.NDArray[np.int8]

    @property
    def reads(self) -> tuple[str, ...]:
        return ()

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def check(self, graph: Any) -> None:
        shape = shape_of(graph, self.output)
        if self.values.dtype != np.int8 or self.values.shape != (shape.height, shape.width, shape.channels):
            broken(self.name, f"its values {list(self.values.shape)} are not int8 of {shape}")

    def run(self, batch: reference.Batch) -> None:
        images = len(batch.maps[batch.graph.input])
        values = torch.from_numpy(self.values.copy()).permute(2, 0, 1)
        batch.write(self.output, values.expand(images, -1, -1, -1))

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.output: graph.shapes[self.output].size}

    def lay_out(self, image: NetworkImage) -> None:
        image.map_layout.constant(self.name, self.values)

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        lowering.constant(self)


@dataclass(frozen=True)
class QuantisedInterpolation(QuantisedConv):
    """A 1x1 convolution of a constant map ``source`` by filters that are the map ``filters_from``.

    output = requantise(sum over the small map's pixels of a place's weight times the pixel). ``weight`` has the shape
    of the filters, and no values: they are the small map's.
    """

    filters_from: str = field(kw_only=True)

    @property
    def reads(self) -> tuple[str, ...]:
        return self.source, self.filters_from

    def check(self, graph: Any) -> None:
        self.check_weights(graph, self.weight)
        small, places = shape_of(graph, self.filters_from), shape_of(graph, self.source)
        if (small.channels, small.height * small.width) != (len(self.weight), places.channels):
            broken(self.name, f"its filters are {small}, of which its constant map has {places.channels} pixels")
        # The weights of a place add up to ONE, whatever the pixels are.
        check_requantisation(self.name, np.full((len(self.weight), 1), ONE, np.int8), self.requantisation)

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return 0

    def run(self, batch: reference.Batch) -> None:
        places, small = batch.maps[self.source][0], batch.maps[self.filters_from].flatten(2)
        # At most ONE * 128 in magnitude: exact in float64.
        sums = torch.einsum("khw,bck->bchw", places.double(), small.double()).to(torch.int64)
        multiplier, shift = (int(numbers[0]) for numbers in (self.requantisation.multiplier, self.requantisation.shift))
        values: Tensor = scaled(sums, torch.tensor(multiplier), torch.tensor(shift))
        batch.write(self.output, values.clamp_(INT8_MIN, INT8_MAX))

    def lay_out(self, image: NetworkImage) -> None:
        image.bank_layout.filters_of_map(self)
        image.add_parameters(self.name, self.requantisation, image.pooling_of(self))

    def joins(self, before: QuantisedLayer) -> bool:
        return False

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        lowering.store_filters(self)
        lowering.convolutions([self])
