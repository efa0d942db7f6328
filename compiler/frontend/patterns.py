"""What capture knows about the values of a torch program while it walks through it.

Capture reads a program one operation at a time. Each operation turns the values it reads into a
value of one of these classes: a convolution that may still gain a batch norm, an activation, masks
and a residual; a pooled map; the logits of a gate; a mask. Values are compared by identity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Constant:
    """A parameter or buffer of the network, by its path."""

    path: str
    tensor: torch.Tensor

    @property
    def module(self) -> str:
        """The path of the module that owns it."""
        return self.path.rpartition(".")[0]

    def numpy(self) -> Array:
        """The value in float64."""
        return self.tensor.detach().cpu().double().numpy()


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A feature map that is written: the network's input, or a max pool's output."""

    tensor: str


@dataclass(frozen=True, eq=False)
class OpenConv:
    """A convolution whose epilogue is still being read; it is written out when its result is used.

    ``weight`` is [out, kernel height, kernel width, in], ``bias`` [out].
    """

    name: str
    source: str
    weight: Array
    bias: Array
    stride: int
    padding: int
    relu: bool = False
    residual: str | None = None
    output_channels: str | None = None
    output_tiles: str | None = None
    groups: int = 1
    most: float | None = None
    """The activation's largest value, if it has one."""

    def normalised(self, factor: Array, offset: Array) -> Self:
        """With ``y * factor + offset`` folded in, both [out]."""
        weight = self.weight * factor[:, None, None, None]
        return replace(self, weight=weight, bias=self.bias * factor + offset)

    @property
    def plain(self) -> bool:
        """Nothing follows the convolution (and its batch norm) yet."""
        return not (self.relu or self.residual or self.output_channels or self.output_tiles)


@dataclass(frozen=True, eq=False)
class Pooled:
    """The averages of a feature map over a grid (height, width) of equal bins."""

    source: str
    grid: tuple[int, int]
    channels: int


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``weight`` [out, in], ``bias`` [out]."""

    module: str
    weight: Array
    bias: Array
    relu: bool = False
    norms: tuple[str, ...] = ()
    """The modules of the batch norms that are folded in."""


@dataclass(frozen=True, eq=False)
class DenseChain:
    """Fully connected layers on a feature map's global average: a classifier or a channel gate."""

    source: str
    layers: tuple[Dense, ...]

    def last(self, **changes: object) -> DenseChain:
        """With the last layer changed."""
        return replace(self, layers=(*self.layers[:-1], replace(self.layers[-1], **changes)))  # type: ignore[arg-type]

    def normalised(self, factor: Array, offset: Array, module: str) -> DenseChain:
        """With ``y * factor + offset`` of a batch norm folded into the last layer."""
        layer = self.layers[-1]
        weight, bias = layer.weight * factor[:, None], layer.bias * factor + offset
        return self.last(weight=weight, bias=bias, norms=(*layer.norms, module))

    @property
    def modules(self) -> list[str]:
        """The modules whose parameters went into the chain."""
        return [module for layer in self.layers for module in (layer.module, *layer.norms)]


@dataclass(frozen=True, eq=False)
class GridLogits:
    """A 3x3 convolution over a pooled map to one channel: the logits of a spatial gate."""

    source: str
    grid: tuple[int, int]
    module: str
    weight: Array
    """[1, 3, 3, channels]."""
    bias: Array
    """[1]."""
    norms: tuple[str, ...] = ()

    def normalised(self, factor: Array, offset: Array, module: str) -> GridLogits:
        """With ``y * factor + offset`` of a batch norm folded in."""
        norms = (*self.norms, module)
        return replace(self, weight=self.weight * factor[0], bias=self.bias * factor + offset, norms=norms)

    @property
    def modules(self) -> list[str]:
        """The modules whose parameters went into the logits."""
        return [self.module, *self.norms]


@dataclass(frozen=True, eq=False)
class Mask:
    """The 0/1 result of ``logits >= 0``."""

    logits: GridLogits | DenseChain


Value = Constant | FeatureMap | OpenConv | Pooled | DenseChain | GridLogits | Mask


def describe(value: object) -> str:
    """What a value is, in the words of an error message."""
    match value:
        case Constant():
            return f"the parameter {value.path}"
        case FeatureMap():
            return f"the feature map {value.tensor}"
        case OpenConv():
            return f"the output of convolution {value.name}"
        case Pooled():
            return f"the average-pooled map of {value.source}"
        case DenseChain():
            return f"the output of fully connected layer {value.layers[-1].module}"
        case GridLogits():
            return f"the logits of spatial gate {value.module}"
        case Mask():
            return "a gate's mask"
    return repr(value)
