"""The state of capture's walk through a program, and the feature maps written so far."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from torch import fx

from gatewright.compiler.frontend.logit_patterns import Array
from gatewright.compiler.frontend.patterns import (
    Constant,
    FeatureMap,
    Image,
    Interpolated,
    OpenConv,
    Pooled,
    Value,
    describe,
)
from gatewright.compiler.graph.graph import FloatGraph, ImageScaling, Rounding, TensorShape
from gatewright.compiler.kinds.bins import FloatBins
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.kinds.interpolation import FloatInterpolation
from gatewright.contract.errors import GatewrightError


class Walk:
    """Builds a ``FloatGraph`` from the operations it is shown, in order.

    Members
    -------
    graph
        The layers written so far. A convolution is written when its result is first used, so that
        its batch norm, activation, masks and residual are all known.
    values
        What each node of the program is.
    parameters
        The paths of the network's parameters and buffers.
    written, extended
        Values that became a layer, with its name; values that another operation continued.
    order
        Feature maps by when they are written.
    gates
        Gates by their logits and whether the comparison with 0 is strict, with their names.
    joined, parts
        Concatenations by their parts, and their parts.
    whole
        Global averages that are maps, by what they are averages of.
    rounded
        How the network rounds values to integers.
    masked
        The convolutions that wrote a map in which skipped places are zero.
    where
        Module and operation that are being read, for error messages.
    """

    def __init__(self, graph: FloatGraph, parameters: list[str]) -> None:
        self.graph = graph
        self.values: dict[fx.Node, Value] = {}
        self.parameters = parameters
        self.written: dict[Value, str] = {}
        self.extended: set[Value] = set()
        self.order: dict[str, int] = {graph.input: 0}
        self.gates: dict[tuple[Value, bool], str] = {}
        self.masked: dict[str, FloatConv] = {}
        self.joined: dict[tuple[Value, ...], Value] = {}
        self.parts: dict[Value, tuple[Value, ...]] = {}
        self.whole: dict[str, Pooled] = {}
        self.rounded: dict[Value, Rounding] = {}
        self._scaling: ImageScaling | None = None
        self.where = "the network"

    def fail(self, reason: str) -> NoReturn:
        """Refuse the network: say where and why."""
        raise GatewrightError(f"{self.where}: {reason}")

    def value(self, argument: object) -> Value:
        """What an operand is."""
        if not isinstance(argument, fx.Node):
            self.fail(f"an operand is the number {argument!r}; only tensors of the network are supported here")
        return self.values[argument]

    def constant(self, argument: object) -> Array | None:
        """A parameter's value in float64; None if the operation has none."""
        if argument is None:
            return None
        value = self.value(argument)
        if not isinstance(value, Constant):
            self.fail(f"{describe(value)} is used as a weight; weights must be parameters of the network")
        if not value.tensor.is_floating_point():
            self.fail(f"{describe(value)} is {value.tensor.dtype}; weights are real floating-point numbers")
        return value.numpy()

    def extend(self, value: Value) -> None:
        """A convolution's result gains one more step; nobody may use it without that step."""
        if value in self.written or value in self.extended:
            self.fail(
                f"{describe(value)} is used here and also elsewhere; a convolution's batch norm, ReLU, masks and "
                "residual must be the only users of what they read"
            )
        self.extended.add(value)

    def tensor(self, value: Value, adder: str | None = None) -> str:
        """The name of a feature map, which is written out if it was not yet.

        ``adder`` is the convolution that reads it as its residual, if that is the reader. A plain
        convolution that is first read so is a shortcut, and the adder completes it.
        """
        if isinstance(value, FeatureMap):
            return value.tensor
        if isinstance(value, Image):
            return self._image(value)
        if isinstance(value, Pooled) and value.level:
            return self._bins(value)
        if isinstance(value, Pooled) and value.window is not None:
            return self._averages(value, value.window)
        if isinstance(value, Interpolated):
            return self._interpolated(value)
        if not isinstance(value, OpenConv):
            self.fail(f"it reads {describe(value)}, where only a feature map is supported")
        if value in self.written:
            return self.written[value]
        self.extend(value)
        self.written[value] = value.name
        self.order[value.name] = len(self.order)
        source = self.masked.get(value.source)
        conv = FloatConv(
            value.name,
            value.source,
            value.name,
            value.stride,
            value.padding,
            value.relu,
            residual=value.residual,
            upsample=value.upsample,
            completed_by=adder if value.plain else None,
            output_channels=value.output_channels,
            input_channels=source.output_channels if source else None,
            output_tiles=value.output_tiles,
            input_tiles=source.output_tiles if source else None,
            groups=value.groups,
            dilation=value.dilation,
            beside=value.beside,
            most=value.most,
            appended_to=value.appended_to,
            bypass=value.bypass,
            unit=value.unit,
            weight=value.weight,
            bias=value.bias,
        )
        self.graph.layers.append(conv)
        if conv.continued is None:  # with a residual the skipped places are not zero
            self.masked[conv.output] = conv
        return value.name

    def _averages(self, value: Pooled, window: int) -> str:
        """The name of the map of averages over square windows side by side: a depthwise convolution's of equal weights.

        Only a grid that a gate does not read becomes a map.
        """
        if value not in self.written:
            name = self.written[value] = self.unique(f"{value.source}.average_pool")
            self.graph.shapes[name] = TensorShape(value.channels, *value.grid)
            self.order[name] = len(self.order)
            weight = np.full((value.channels, window, window, 1), 1 / window**2)
            source = self.masked.get(value.source)
            gate = None if source is None else source.output_channels or source.output_tiles
            if gate is not None:
                self.fail(f"average pooling of {value.source}, which is masked by {gate}, to a map; only gates may")
            groups, bias = value.channels, np.zeros(value.channels)
            self.graph.layers.append(
                FloatConv(name, value.source, name, window, 0, False, groups=groups, weight=weight, bias=bias)
            )
        return self.written[value]

    def one_bin(self, source: str, channels: int) -> Pooled:
        """The global average of a map as a map of one pixel, the same value each time."""
        return self.whole.setdefault(source, Pooled(source, (1, 1), channels, level=True))

    def _bins(self, value: Pooled) -> str:
        """The name of the map of averages over a grid of bins."""
        if value not in self.written:
            name = self.written[value] = self.unique(f"{value.source}.bins")
            self.graph.shapes[name] = TensorShape(value.channels, *value.grid)
            self.order[name] = len(self.order)
            self.graph.layers.append(FloatBins(name, value.source, name, value.grid))
        return self.written[value]

    def _interpolated(self, value: Interpolated) -> str:
        """The name of a map that is upsampled bilinearly."""
        if value not in self.written:
            name = self.written[value] = self.unique(f"{value.source}.upsampled")
            self.graph.shapes[name] = TensorShape(self.graph.shapes[value.source].channels, *value.size)
            self.order[name] = len(self.order)
            layer = FloatInterpolation(name, value.source, name, value.size, value.align_corners)
            self.graph.layers.append(layer)
        return self.written[value]

    def _image(self, image: Image) -> str:
        """The name of the input. It is scaled in one way before anything reads it."""
        found = ImageScaling(image.factor, image.offset)
        known, self._scaling = self._scaling or found, found
        if not (np.array_equal(known.factor, found.factor) and np.array_equal(known.offset, found.offset)):
            self.fail("the image is read in two ways, normalised and not, or by other numbers; one is supported")
        if (found.factor != 1).any() or found.offset.any():
            self.graph.scaling = found
        return self.graph.input

    def unique(self, name: str) -> str:
        """The name, numbered if a module runs more than once."""
        taken = {layer.name for layer in self.graph.layers} | set(self.graph.shapes)
        number, candidate = 2, name
        while candidate in taken:
            candidate, number = f"{name}#{number}", number + 1
        return candidate


def shape_of(node: object) -> TensorShape:
    """The feature map's shape that torch.export recorded for a node."""
    assert isinstance(node, fx.Node)
    return TensorShape(*(int(edge) for edge in node.meta["val"].shape[1:]))
