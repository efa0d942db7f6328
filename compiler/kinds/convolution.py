"""A convolution: dense, masked by gates, adding a residual, or a shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.compiler.graph.checks import check_requantisation
from gatewright.compiler.graph.exact import convolve, requantise, spread, upsampled
from gatewright.compiler.graph.graph import (
    Decisions,
    FloatLayer,
    Graph,
    QuantisedGraph,
    QuantisedLayer,
    Requantisation,
)
from gatewright.compiler.graph.grids import tiling_of
from gatewright.compiler.quantise.numbers import int8_weights, requantisation
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program_parts import LayerKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser
from gatewright.compiler.kinds.convolution_form import Convolution


@dataclass(frozen=True)
class FloatConv(Convolution, FloatLayer):
    """A convolution with its batch normalisation folded into ``weight`` and ``bias`` [out channels].

    ``most`` is the activation's largest value (6 for ReLU6), None if it has none. In integers it is the saturation: the
    output's range is at most ``most``, so that 127 stands for no more. ``unit`` [out channels] is the value of one
    unit of each filter's weights, if the network brings it along.
    """

    weight: npt.NDArray[np.float64] = field(kw_only=True)
    bias: npt.NDArray[np.float64] = field(kw_only=True)
    most: float | None = field(default=None, kw_only=True)
    unit: npt.NDArray[np.float64] | None = field(default=None, kw_only=True)

    @property
    def group_shape(self) -> tuple[int, int]:
        return len(self.weight) // self.groups, self.weight.shape[3]

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[1], self.weight.shape[2]

    @property
    def averages(self) -> bool:
        alone = self.depthwise and self.dilation == 1 and self.weight[0].size > 1
        return alone and _alike(self.weight) and not self.bias.any()

    def check(self, graph: Graph) -> None:
        self.check_weights(graph, self.weight)

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight.transpose(0, 3, 1, 2), self.bias

    def run(self, batch: float_executor.Batch) -> None:
        weight, bias = batch.parameters[self.name]
        geometry = self.stride, self.padding, self.dilation, self.groups
        value = F.conv2d(_together(batch.maps, self.sources), weight, bias, *geometry)
        if self.output_channels is not None:
            value = value * batch.masks[self.output_channels][:, :, None, None]
        if self.output_tiles is not None:
            value = value * spread(batch.masks[self.output_tiles], value)
        if self.residual is not None:
            value = value + upsampled(batch.maps[self.residual], self.upsample)
        kept = value
        value = value.clamp(0, self.most) if self.relu else value
        if self.bypass and self.output_tiles is not None:
            value = torch.where(spread(batch.masks[self.output_tiles], value).bool(), value, kept)
        batch.write(self.output, _behind(batch.maps, self.appended_to, value))

    def quantise(self, quantiser: Quantiser) -> QuantisedConv:
        """Weights per output channel; the residual must already have the output's scale."""
        source, output = quantiser.result.scales[self.source], quantiser.scale(self.output)
        if self.continued is not None and quantiser.result.scales[self.continued] != output:
            what = "its residual" if self.residual is not None else "what its output is put behind,"
            raise GatewrightError(
                f"convolution {self.name}: the range of {what} {self.continued} is "
                f"{quantiser.ranges[self.continued]:g}, that of its output {quantiser.ranges[self.output]:g}; the "
                "machine adds in place and needs one range along a residual stream, and along a concatenation"
            )
        if self.most is not None and quantiser.ranges[self.output] > self.most:
            raise GatewrightError(
                f"convolution {self.name}: the range of its output {self.output} is "
                f"{quantiser.ranges[self.output]:g}, and its activation ends at {self.most:g}; int8 saturates at the "
                "range, so it must not be larger: calibrate the network again, or keep the activation out of a "
                "concatenation, and out of a residual stream"
            )
        weights = self.weight
        if self.beside:  # each part has a scale of its own, which its weights take in
            shapes, scales_of = quantiser.result.shapes, quantiser.result.scales
            parts = [np.full(shapes[name].channels, scales_of[name]) for name in self.sources]
            weights, source = weights * np.concatenate(parts), 1.0
        zero, shift = quantiser.zeros.of(self.source), quantiser.zeros.of(self.output)
        real = self.bias + shift * output
        unit = None if self.beside else self.unit
        weight, scale = int8_weights(weights.reshape(len(weights), -1), real / source, unit)
        if self.averages:  # sums are exact
            weight, scale = np.ones_like(weight), self.weight[:, 0, 0, 0]
        bias = real / (scale * source) - zero * weight.sum(1, dtype=np.int64)
        scales = requantisation(self.name, weight, bias, scale * source / output)
        geometry = {field.name: getattr(self, field.name) for field in fields(Convolution)}
        geometry["relu"] = self.relu and shift == 0  # int8 saturates where the ReLU begins
        return QuantisedConv(**geometry, weight=weight.reshape(self.weight.shape), requantisation=scales)


@dataclass(frozen=True)
class QuantisedConv(Convolution, QuantisedLayer):
    """A convolution in integers. The residual has the output's scale."""

    weight: npt.NDArray[np.int8] = field(kw_only=True)
    requantisation: Requantisation = field(kw_only=True)

    @property
    def group_shape(self) -> tuple[int, int]:
        return len(self.weight) // self.groups, self.weight.shape[3]

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[1], self.weight.shape[2]

    @property
    def averages(self) -> bool:
        scales = self.requantisation
        alike = _alike(scales.multiplier) and _alike(scales.shift) and not scales.bias.any()
        alone = self.depthwise and self.dilation == 1 and self.weight[0].size > 1
        return alone and bool((self.weight == 1).all()) and alike

    def check(self, graph: Graph) -> None:
        self.check_weights(graph, self.weight)
        check_requantisation(self.name, self.weight, self.requantisation)

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        if self.normalises or self.averages:
            return 0
        shape = graph.shapes[self.output]
        filters, height, width, channels = self.weight.shape
        pixels = shape.height * shape.width
        if decisions is not None:
            if self.output_tiles:
                pixels = tiling_of(decisions[self.output_tiles].shape, shape).pixels(decisions[self.output_tiles])
            if self.output_channels:
                filters = int(np.count_nonzero(decisions[self.output_channels]))
            if self.input_channels and self.groups == 1:
                channels = int(np.count_nonzero(decisions[self.input_channels]))
        return pixels * filters * height * width * channels

    def run(self, batch: reference.Batch) -> None:
        geometry = self.stride, self.padding, self.groups, self.dilation
        sums = convolve(_together(batch.maps, self.sources), self.weight, *geometry)
        values = requantise(sums, self.requantisation)
        if self.output_channels is not None:
            values *= batch.masks[self.output_channels][:, :, None, None]
        if self.output_tiles is not None:
            values *= spread(batch.masks[self.output_tiles], values)
        if self.residual is not None:
            values += upsampled(batch.maps[self.residual], self.upsample)
        kept = values
        values = values.clamp(0 if self.relu else INT8_MIN, INT8_MAX)
        if self.bypass and self.output_tiles is not None:
            values = torch.where(spread(batch.masks[self.output_tiles], values).bool(), values, kept)
        batch.write(self.output, _behind(batch.maps, self.appended_to, values))

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.output: graph.shapes[self.output].size}

    def in_place_of(self, graph: QuantisedGraph) -> str | None:
        return self.in_place

    def lay_out(self, image: NetworkImage) -> None:
        # A map in planes has all channels, what is masked too.
        output_gate = None if self.output in image.planes else self.output_channels
        if self.source == image.graph.input and image.input_layout.rows > 1:
            filters, _, width, _ = self.weight.shape
            image.bank_layout.by_vector(self.name, self.weight.transpose(0, 2, 1, 3).reshape(filters, 1, width, -1))
        elif self.groups > 1:
            image.bank_layout.grouped(self)
            return
        elif self.beside:
            image.bank_layout.of_several(self, output_gate)
        elif self.input_channels is None:
            image.bank_layout.by_vector(self.name, self.weight, output_gate)
        else:
            image.bank_layout.by_reduction(self.name, self.weight, self.input_channels, output_gate)
        image.add_parameters(self.name, self.requantisation, image.pooling_of(self))
        image.add_pool_parameters(self)

    @property
    def tile_gate(self) -> str | None:
        return self.output_tiles

    def without_gates(self) -> QuantisedConv:
        alone = replace(self, output_channels=None, input_channels=None, output_tiles=None, input_tiles=None)
        return replace(alone, bypass=False)

    @property
    def role(self) -> LayerKind:
        return "gated" if self.output_tiles or self.output_channels or self.input_channels else "ungated"

    def joins(self, before: QuantisedLayer) -> bool:
        """A block's first convolution and its shortcut read the same map; of a concatenation part follows part."""
        same = isinstance(before, QuantisedConv) and before.source == self.source
        return same and self.appended_to not in before.writes

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        lowering.convolutions([layer for layer in group if isinstance(layer, QuantisedConv)])


def _together(maps: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    """The channels of some maps behind one another [B, C, H, W]."""
    return maps[names[0]] if len(names) == 1 else torch.cat([maps[name] for name in names], 1)


def _behind(maps: dict[str, Tensor], first: str | None, values: Tensor) -> Tensor:
    """Values [B, C, H, W] behind the channels of a map, if there is one."""
    return values if first is None else torch.cat((maps[first].to(values.dtype), values), 1)


def _alike(values: npt.NDArray[Any]) -> bool:
    """Whether all values are one."""
    return bool((values == values.flat[0]).all())
