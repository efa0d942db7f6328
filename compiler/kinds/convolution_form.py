"""What a convolution in float and one in integers share: maps, gates, geometry, and the rules of its weights."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.checks import broken, refuse, shape_of
from gatewright.compiler.graph.graph import (
    Graph,
    Layer,
    TensorShape,
)
from gatewright.contract.isa import FORMATS, Opcode

_MOST = {field.name: (1 << field.bits) - 1 for field in FORMATS[Opcode.GATHER].fields}

MOST_DILATION = _MOST["dilation"]
"""The largest dilation that GATHER can name."""

MOST_STRIDE = _MOST["stride"]
MOST_PADDING = min(_MOST["padding_y"], _MOST["padding_x"])
MOST_KERNEL = min(_MOST["kernel_height"], _MOST["kernel_width"])
"""Rows or columns of a kernel. All taps of one that large are no more than LOAD and MATMUL count."""
MOST_EDGE = min(_MOST["height"], _MOST["width"], _MOST["out_width"])
"""Rows or columns of a map."""
MOST_CHANNELS = _MOST["channels"]
"""Channels of a map that a convolution without groups reads."""

MOST_STEP = (1 << next(field.bits for field in FORMATS[Opcode.EPILOGUE].fields if field.name == "step")) - 1
"""The largest stride of an average that EPILOGUE makes."""

MOST_AVERAGED = 11
"""Edge of the windows of AVERAGE that are used: as of DIGITS, so that sums are small."""


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
    def windowed(self) -> bool:
        """Whether it is an average that EPILOGUE makes by its kind AVERAGE, with one parameter for all channels."""
        return self.averages and not self.relu and not self.gates and self.kernel[0] == self.kernel[1] <= MOST_AVERAGED

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
        self._check_geometry(graph)
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

    def _check_geometry(self, graph: Graph) -> None:
        """No number is larger than the field of the instruction that names it."""
        source, output = shape_of(graph, self.source), shape_of(graph, self.output)
        height, width = self.kernel
        # The rows of a kernel over the image may be laid side by side as channels, and then are not counted.
        together = self.source == graph.input and self.stride == self.dilation == 1 and source.height == output.height
        counted = (
            ("stride", self.stride, 1, MOST_STEP if self.windowed else MOST_STRIDE),
            ("padding", self.padding, 0, MOST_PADDING),
            ("dilation", self.dilation, 1, MOST_DILATION),
            ("kernel's height", 1 if together else height, 1, MOST_KERNEL),
            ("kernel's width", width, 1, MOST_KERNEL),
        )
        for what, value, least, most in counted:
            if not least <= value <= most:
                refuse(self.name, f"its {what} is {value}; supported are {least} to {most}")
        for what, shape in (("reads", source), ("writes", output)):
            if max(shape.height, shape.width) > MOST_EDGE:
                pixels = f"{shape.height}x{shape.width}"
                refuse(self.name, f"it {what} a map of {pixels} pixels; supported are at most {MOST_EDGE} each way")
        channels = sum(shape_of(graph, name).channels for name in self.sources)
        if self.groups == 1 and self.input_channels is None and channels > MOST_CHANNELS:
            refuse(self.name, f"it reads {channels} channels; supported are at most {MOST_CHANNELS}")

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
