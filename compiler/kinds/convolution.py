"""A convolution: dense, masked by gates, adding a residual, or a shortcut."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.compiler.graph.checks import broken, check_requantisation, refuse, shape_of
from gatewright.compiler.graph.exact import convolve, requantise, spread, upsampled
from gatewright.compiler.graph.graph import (
    Decisions,
    FloatLayer,
    Graph,
    Layer,
    QuantisedGraph,
    QuantisedLayer,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.graph.grids import tiling_of
from gatewright.compiler.quantise.numbers import int8_weights, requantisation
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import FORMATS, Opcode
from gatewright.contract.program import LayerKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser

MOST_DILATION = (1 << next(field.bits for field in FORMATS[Opcode.GATHER].fields if field.name == "dilation")) - 1
"""The largest dilation that GATHER can name."""


@dataclass(frozen=True)
class Convolution(Layer):
    """What a convolution is in either graph; the subclasses say its numbers.

    ``residual`` names a tensor that is added before the activation. ``completed_by`` marks a
    shortcut: it names the convolution whose residual this output is and that supplies the ReLU;
    nobody else reads the output. ``output_channels`` names the channel gate that masks the output
    (those filters are skipped), ``input_channels`` the one that masked the input (those input
    channels are zero). ``output_tiles`` names the spatial gate whose inactive tiles contribute
    nothing (only the residual is left there), ``input_tiles`` the one whose inactive tiles are zero
    in the input. Either may also be a gate that decides about whole maps. The filters of each of the ``groups`` read
    the input channels of their group alone. ``upsample`` is the power of two by which the residual's rows and columns
    are fewer than the output's: each of its pixels is added to so many in both directions. ``elsewhere``: others read
    the residual afterwards, or it is coarser, so that the sum has a place of its own.

    ``appended_to`` names a tensor behind whose channels those of the filters are put: the output has all channels of
    that tensor, then these. ``dilation`` is how many pixels of the input lie from a row or column of the kernel to the
    next. ``beside`` names further maps of the source's size: the input's channels are those of the source, then theirs.
    ``bypass``: where the spatial gate is off the output is the residual as it is, without the ReLU of the sum:
    m relu(x + f) + (1 - m) x.
    """

    source: str
    output: str
    stride: int
    padding: int
    relu: bool
    residual: str | None = None
    completed_by: str | None = None
    output_channels: str | None = None
    input_channels: str | None = None
    output_tiles: str | None = None
    input_tiles: str | None = None
    groups: int = 1
    upsample: int = 0
    elsewhere: bool = False
    appended_to: str | None = None
    dilation: int = 1
    beside: tuple[str, ...] = ()
    bypass: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The maps that the kernel goes over: the source, and those whose channels are behind it."""
        return (self.source, *self.beside)

    @property
    def continued(self) -> str | None:
        """The tensor to whose values, or behind whose channels, the output's are put."""
        return self.appended_to if self.residual is None else self.residual

    @property
    def in_place(self) -> str | None:
        """The same, if they are put there where it lies."""
        return None if self.elsewhere else self.continued

    @property
    def relu_of_skipped(self) -> bool:
        """Whether the sum's ReLU applies to what is left of it where the spatial gate is off: to the residual."""
        return self.relu and not self.bypass

    @property
    def normalises(self) -> bool:
        """Whether it is a batch norm by itself: a depthwise convolution of one pixel."""
        return self.depthwise and self.kernel == (1, 1) and (self.stride, self.padding) == (1, 0)

    @property
    @abstractmethod
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of the input from the first to the last that the kernel reads at once."""
        height, width = self.kernel
        return (height - 1) * self.dilation + 1, (width - 1) * self.dilation + 1

    @property
    @abstractmethod
    def averages(self) -> bool:
        """Whether it is an average over its windows."""

    @property
    def depthwise(self) -> bool:
        """Whether every filter reads one input channel, and every input channel is read by one filter."""
        return self.groups > 1 and self.group_shape == (1, 1)

    @property
    @abstractmethod
    def group_shape(self) -> tuple[int, int]:
        """Filters and input channels of a group."""

    @property
    def reads(self) -> tuple[str, ...]:
        return self.sources if self.continued is None else (*self.sources, self.continued)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates whose decisions the layer needs."""
        names = (self.output_channels, self.input_channels, self.output_tiles, self.input_tiles)
        return tuple(name for name in names if name is not None)

    def check_weights(self, graph: Graph, weight: npt.NDArray[np.float64] | npt.NDArray[np.int8]) -> None:
        """The weights have the channels of the source and make the shape of the output."""
        source, output = shape_of(graph, self.source), shape_of(graph, self.output)
        filters, _, _, channels = weight.shape
        rows, columns = (
            (size + 2 * self.padding - edge) // self.stride + 1
            for size, edge in zip((source.height, source.width), self.reach, strict=True)
        )
        if not 1 <= self.dilation <= MOST_DILATION:
            refuse(self.name, f"its dilation is {self.dilation}; supported are 1 to {MOST_DILATION}")
        parts = [shape_of(graph, name) for name in self.sources]
        fits = channels * self.groups == sum(part.channels for part in parts) and filters % self.groups == 0
        fits = fits and len({(part.height, part.width) for part in parts}) == 1
        before = TensorShape(0, rows, columns) if self.appended_to is None else shape_of(graph, self.appended_to)
        fits = fits and (before.height, before.width) == (rows, columns)
        if not fits or output != TensorShape(before.channels + filters, rows, columns):
            broken(self.name, f"weights {list(weight.shape)} do not make {output} of {source}")
        if self.appended_to is not None and (self.residual is not None or self.output_channels or self.output_tiles):
            broken(self.name, f"its output is put behind {self.appended_to}, and it is added to or masked as well")
        if self.beside and (self.groups > 1 or self.dilation > 1 or self.input_channels or self.input_tiles):
            refuse(
                self.name,
                f"it reads a concatenation of {len(self.sources)} maps where they lie; supported is that of maps "
                "without gates, by a convolution with groups=1 and dilation=1",
            )
        if self.beside and graph.input in self.sources:
            refuse(self.name, "it reads a concatenation of the image and other maps; only layers' maps can be")
        if self.groups > 1:
            self._check_groups(graph)

    def _check_groups(self, graph: Graph) -> None:
        """What a convolution of groups reads is written for it: in planes of few channels. A norm's is not."""
        if (self.normalises or self.averages) and not self.gates:
            return
        writers = [layer for layer in graph.layers if self.source in layer.writes]
        writer = writers[0] if writers else self
        if not writers or not isinstance(writer, Convolution) or writer.continued is not None:
            what = f"the output of {writer.name}" if writers else "the image"
            refuse(
                self.name,
                f"it has {self.groups} groups and reads {what}; a grouped convolution must read the output of a "
                "convolution without a residual or a concatenation, which is written in planes of few channels",
            )
        others = [layer.name for layer in graph.layers if self.source in layer.reads and layer.name != self.name]
        if others:
            refuse(
                self.name,
                f"it has {self.groups} groups, and {others[0]} reads its input {self.source}, too; a grouped "
                "convolution must be the only reader of what it reads, which is written in planes of few channels",
            )
        if self.input_channels != self.output_channels or (self.input_channels and not self.depthwise):
            refuse(
                self.name,
                f"it has {self.groups} groups and channel gates on its input ({self.input_channels}) and output "
                f"({self.output_channels}); supported is one gate, of a depthwise convolution's output",
            )


@dataclass(frozen=True)
class FloatConv(Convolution, FloatLayer):
    """A convolution with its batch normalisation folded into ``weight`` and ``bias`` [out channels].

    ``most`` is the activation's largest value (6 for ReLU6), None if it has none. In integers it is the saturation: the
    output's range is at most ``most``, so that 127 stands for no more.
    """

    weight: npt.NDArray[np.float64] = field(kw_only=True)
    bias: npt.NDArray[np.float64] = field(kw_only=True)
    most: float | None = field(default=None, kw_only=True)

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
        batch.write(self.output, behind(batch.maps, self.appended_to, value))

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
        weight, scale = int8_weights(weights.reshape(len(weights), -1), real / source)
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
        batch.write(self.output, behind(batch.maps, self.appended_to, values))

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


def behind(maps: dict[str, Tensor], first: str | None, values: Tensor) -> Tensor:
    """Values [B, C, H, W] behind the channels of a map, if there is one."""
    return values if first is None else torch.cat((maps[first].to(values.dtype), values), 1)


def _alike(values: npt.NDArray[Any]) -> bool:
    """Whether all values are one."""
    return bool((values == values.flat[0]).all())
