"""The graphs between capture and emission: what a gated network computes, layer by layer.

``FloatGraph`` is what capture recognises in a torch program: convolutions with folded batch
normalisation, in execution order, and the gates that decide what of them is skipped.
``QuantisedGraph`` is the same network in the machine's integer arithmetic. Tensors have names;
every layer writes one.

Weights are [out channels, kernel height, kernel width, in channels]: the machine's reduction order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TensorShape:
    """Channels, height and width of a feature map."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Convolution:
    """What a convolution is in either graph; the subclasses say its numbers.

    ``residual`` names a tensor that is added before the activation. ``completed_by`` marks a
    shortcut: it names the convolution whose residual this output is and that supplies the ReLU;
    nobody else reads the output. ``output_channels`` names the channel gate that masks the output
    (those filters are skipped), ``input_channels`` the one that masked the input (those input
    channels are zero). ``output_tiles`` names the spatial gate whose inactive tiles contribute
    nothing (only the residual is left there), ``input_tiles`` the one whose inactive tiles are zero
    in the input.
    """

    name: str
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

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        return (self.source,) if self.residual is None else (self.source, self.residual)

    @property
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes."""
        return (self.output,)

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates whose decisions the layer needs."""
        names = (self.output_channels, self.input_channels, self.output_tiles, self.input_tiles)
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True)
class FloatConv(Convolution):
    """A convolution with its batch normalisation folded into ``weight`` and ``bias`` [out channels]."""

    weight: npt.NDArray[np.float64] = field(kw_only=True)
    bias: npt.NDArray[np.float64] = field(kw_only=True)


@dataclass(frozen=True)
class FloatSpatialGate:
    """Average pooling of ``source`` to a grid, a 3x3 convolution to one channel, logit >= 0.

    ``weight`` is [1, 3, 3, channels]; ``grid`` is (height, width); ``tile`` the edge of a tile in
    pixels of the maps that it gates.
    """

    name: str
    source: str
    grid: tuple[int, int]
    tile: int
    weight: npt.NDArray[np.float64]
    bias: float

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes."""
        return ()


@dataclass(frozen=True)
class FloatChannelGate:
    """Global average of ``source``, two fully connected layers (the first with ReLU), logit >= 0.

    Batch normalisation is folded: ``hidden_weight`` [hidden, channels], ``weight`` [outputs, hidden].
    """

    name: str
    source: str
    hidden_weight: npt.NDArray[np.float64]
    hidden_bias: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    @property
    def hidden_name(self) -> str:
        """The name of the hidden layer."""
        return f"{self.name}.hidden"

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes."""
        return (self.hidden_name,)


@dataclass(frozen=True)
class FloatClassifier:
    """Global average of ``source`` and a fully connected layer: the logits."""

    name: str
    source: str
    output: str
    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes."""
        return (self.output,)


FloatLayer = FloatConv | FloatSpatialGate | FloatChannelGate | FloatClassifier


@dataclass
class FloatGraph:
    """Layers in execution order; ``shapes`` gives every feature map's shape, the input's included."""

    input: str
    layers: list[FloatLayer] = field(default_factory=list)
    shapes: dict[str, TensorShape] = field(default_factory=dict)


@dataclass(frozen=True)
class Requantisation:
    """Per output channel: bias (accumulator scale), multiplier and shift; all [channels] int64."""

    bias: npt.NDArray[np.int64]
    multiplier: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]


@dataclass(frozen=True)
class QuantisedConv(Convolution):
    """A convolution in integers. The residual has the output's scale."""

    weight: npt.NDArray[np.int8] = field(kw_only=True)
    requantisation: Requantisation = field(kw_only=True)


@dataclass(frozen=True)
class Pooling:
    """A feature map's tile averages in int8: requantise(sum over a tile's pixels).

    One per feature map that gates look at. ``tile`` is the edge in pixels; the pooled map is
    [ceil(height/tile), ceil(width/tile), channels].
    """

    name: str
    source: str
    tile: int
    multiplier: int
    shift: int

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes."""
        return (self.name,)


@dataclass(frozen=True)
class QuantisedSpatialGate:
    """A convolution over the pooled map, in tiles, to one logit per cell of the grid.

    ``weight`` is [1, k, k, channels] with ``stride`` and ``padding`` in pooled tiles: where the
    grid is coarser than the pooled map the kernel is enlarged, which is the same sum.
    """

    name: str
    pooling: str
    grid: tuple[int, int]
    tile: int
    weight: npt.NDArray[np.int8]
    stride: int
    padding: int
    bias: int

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        return (self.pooling,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes."""
        return ()


@dataclass(frozen=True)
class QuantisedChannelGate:
    """hidden = requantise(sum over all pooled tiles of W0 x + b0) with ReLU; logits = W1 hidden + b1 >= 0.

    The hidden layer sums over the pooled tiles *after* the product, which is exact. ``hidden_weight``
    is [hidden, channels] int8, ``weight`` [outputs, hidden] int8, ``bias`` [outputs] int64.
    """

    name: str
    pooling: str
    hidden_weight: npt.NDArray[np.int8]
    hidden: Requantisation
    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int64]

    @property
    def hidden_name(self) -> str:
        """The name of the hidden layer."""
        return f"{self.name}.hidden"

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        return (self.pooling,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes."""
        return (self.hidden_name,)


@dataclass(frozen=True)
class QuantisedClassifier:
    """logits = sum over pixels of W x, plus bias, in int32. ``weight`` is [classes, channels] int8."""

    name: str
    source: str
    output: str
    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int64]
    scale: float
    """One unit of the integer logits."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes."""
        return (self.output,)


QuantisedLayer = QuantisedConv | Pooling | QuantisedSpatialGate | QuantisedChannelGate | QuantisedClassifier


@dataclass
class QuantisedGraph:
    """The network in integers. ``scales`` gives the value of one unit of every feature map.

    ``input_scale`` maps normalised images to int8: round(x / input_scale), saturated.
    """

    input: str
    layers: list[QuantisedLayer] = field(default_factory=list)
    shapes: dict[str, TensorShape] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)

    @property
    def input_scale(self) -> float:
        return self.scales[self.input]
