"""The graphs between capture and emission: what a gated network computes, layer by layer.

``FloatGraph`` is what capture recognises in a torch program: convolutions with folded batch
normalisation, in execution order, and the gates that decide what of them is skipped.
``QuantisedGraph`` is the same network in the machine's integer arithmetic. Tensors have names;
every layer writes one. The layers themselves are in ``compiler.kinds``, a file for each kind.

Weights are [out channels, kernel height, kernel width, in channels]: the machine's reduction order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.program_parts import LayerKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser
    from gatewright.contract.arch import ArchConfig

Decisions = dict[str, npt.NDArray[np.bool_]]
"""Per gate: [grid height, grid width] for tiles, [channels] for channels."""


@dataclass(frozen=True)
class TensorShape:
    """Channels, height and width of a feature map."""

    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Values in the map."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class Requantisation:
    """Per output channel: bias (accumulator scale), multiplier and shift; all [channels] int64."""

    bias: npt.NDArray[np.int64]
    multiplier: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]

    @staticmethod
    def bias_only(bias: npt.NDArray[np.int64]) -> Requantisation:
        """For sums that are compared or stored as they are."""
        return Requantisation(bias.astype(np.int64), np.zeros(len(bias), np.int64), np.ones(len(bias), np.int64))

    @staticmethod
    def unscaled(bias: npt.NDArray[np.int64]) -> Requantisation:
        """For sums that are saturated as they are: multiplier 2 and shift 1 change nothing."""
        return Requantisation(bias.astype(np.int64), np.full(len(bias), 2, np.int64), np.ones(len(bias), np.int64))

    def before_zeros(self) -> Requantisation:
        """These, and behind them as many that make 0 of every sum."""
        zeros = Requantisation.bias_only(np.zeros_like(self.bias))
        both = zip(vars(self).values(), vars(zeros).values(), strict=True)
        return Requantisation(*(np.concatenate(pair) for pair in both))


@dataclass(frozen=True)
class Layer(ABC):
    """What both graphs ask of a layer."""

    name: str

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""

    @property
    @abstractmethod
    def writes(self) -> tuple[str, ...]:
        """The tensors that the layer writes; a gate's mask is none."""

    @property
    def gives(self) -> str | None:
        """The tensor that the network returns by this layer; None for a layer inside."""
        return None

    @abstractmethod
    def check(self, graph: Any) -> None:
        """The rules of the layer alone: raises ``BrokenGraph`` if its weights and numbers do not fit the graph."""


@dataclass(frozen=True)
class FloatLayer(Layer):
    """A layer of a captured network: how it computes, and how it becomes integers."""

    @abstractmethod
    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        """The arrays that ``run`` finds as float32 tensors in ``batch.parameters``."""

    @abstractmethod
    def run(self, batch: float_executor.Batch) -> None:
        """Compute the layer's tensors, or its mask, in floating point."""

    @abstractmethod
    def quantise(self, quantiser: Quantiser) -> QuantisedLayer:
        """The layer in integers; what it reads is quantised already."""


@dataclass(frozen=True)
class QuantisedLayer(Layer):
    """A layer in integers: its arithmetic, its MACs, and where its data lie."""

    @abstractmethod
    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        """MACs of one sample as the paper counts them; without decisions those of the dense network."""

    @abstractmethod
    def run(self, batch: reference.Batch) -> None:
        """Compute the layer's tensors, or its mask, exactly."""

    @abstractmethod
    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        """Scratchpad bytes of every tensor that the layer writes."""

    def scratch(self, graph: QuantisedGraph, arch: ArchConfig) -> dict[str, int]:
        """Scratchpad bytes of what nobody but the layer itself reads, by name; a machine may need none."""
        return {}

    def in_place_of(self, graph: QuantisedGraph) -> str | None:
        """The tensor whose place the layer's output takes; None where it needs a place of its own."""
        return None

    def begun_with(self, graph: QuantisedGraph) -> tuple[str, ...]:
        """Tensors of other layers with whose first pixels a part of this layer's output is written."""
        return ()

    @property
    def banks(self) -> tuple[str, ...]:
        """The names of the layer's filter banks, in order of use."""
        return (self.name,)

    @abstractmethod
    def lay_out(self, image: NetworkImage) -> None:
        """Give the epilogue's parameters and the weights of every bank to the image."""

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates whose decisions the layer needs."""
        return ()

    @property
    def tile_gate(self) -> str | None:
        """The spatial gate without whose tiles the layer has nothing to compute, and needs no filters."""
        return None

    @abstractmethod
    def without_gates(self) -> QuantisedLayer | None:
        """The layer in the dense baseline; None where it only serves gates."""

    @property
    @abstractmethod
    def role(self) -> LayerKind:
        """What the report counts the layer's time under: "gate", "gated" or "ungated"."""

    def joins(self, before: QuantisedLayer) -> bool:
        """Whether the layer is emitted together with the one before it. Layers without banks are with their source."""
        return False

    @abstractmethod
    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        """Emit the layer and those that joined it: ``group``, which begins with it."""

    def advance(self, lowering: Lowering, rows: int, pixel_rows: int) -> None:
        """A map that the layer reads has its first ``rows`` rows of tiles, ``pixel_rows`` of pixels: begin early."""
        return None


@dataclass(frozen=True)
class ImageScaling:
    """What a network does to images before its first layer: times ``factor``, plus ``offset``; [channels] each."""

    factor: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]

    def apply(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Of images [N, C, H, W]."""
        return (images * self.factor[:, None, None] + self.offset[:, None, None]).astype(np.float32)


@dataclass(frozen=True)
class Rounding:
    """How a network rounds a map itself: ``range`` becomes 127, and ``zero`` (0 or -128) stands for 0."""

    range: float
    zero: int


@dataclass
class FloatGraph:
    """Layers in execution order; ``shapes`` gives every feature map's shape, the input's included.

    ``scaling`` comes before the first layer, if there is one. ``rounding`` has the maps whose scale the network brings
    along; it is not part of the float computation.
    """

    input: str
    layers: list[FloatLayer] = field(default_factory=list)
    shapes: dict[str, TensorShape] = field(default_factory=dict)
    scaling: ImageScaling | None = None
    rounding: dict[str, Rounding] = field(default_factory=dict)


@dataclass
class QuantisedGraph:
    """The network in integers. ``scales`` gives the value of one unit of every feature map.

    ``zeros`` has the integers that stand for 0, by feature map, where these are not 0: a value is (integer - zero) *
    scale.

    ``input_scale`` maps normalised images, behind ``scaling`` if there is one, to int8: round(x / input_scale),
    saturated.
    """

    input: str
    layers: list[QuantisedLayer] = field(default_factory=list)
    shapes: dict[str, TensorShape] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    zeros: dict[str, int] = field(default_factory=dict)
    scaling: ImageScaling | None = None

    @property
    def input_scale(self) -> float:
        return self.scales[self.input]


Graph = FloatGraph | QuantisedGraph


def joined(layers: Sequence[QuantisedLayer]) -> list[list[QuantisedLayer]]:
    """Layers in order, those together that join their predecessor; what has no filters rides along with its source.

    None joins across a map that is returned: it is gone before the next one is made, which may have its place.
    """
    groups: list[list[QuantisedLayer]] = []
    given = False
    for layer in layers:
        if not layer.banks:
            given = given or layer.gives is not None
            continue
        if groups and not given and layer.joins(groups[-1][-1]):
            groups[-1].append(layer)
        else:
            groups.append([layer])
        given = False
    return groups
