"""What capture knows about the values of a torch program while it walks through it.

Capture reads a program one operation at a time. Each operation turns the values it reads into a
value of one of these classes: a convolution that may still gain a batch norm, an activation, masks
and a residual; a pooled map; the logits of a gate; a mask. Values are compared by identity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from gatewright.compiler.frontend.logit_patterns import (
    AnyOn,
    Array,
    Choice,
    DenseChain,
    GridLogits,
    Largest,
    LargestLogit,
    Mask,
    Number,
)


@dataclass(frozen=True, eq=False)
class Constant:
    """A parameter or buffer of the network, by its path."""

    path: str
    tensor: torch.Tensor
    unit: Array | None = None
    """The value of one unit of each row, if the network rounds it to integers."""

    @property
    def module(self) -> str:
        """The path of the module that owns it."""
        return self.path.rpartition(".")[0]

    def numpy(self) -> Array:
        """The value in float64."""
        return self.tensor.detach().cpu().double().numpy()


@dataclass(frozen=True, eq=False)
class Image:
    """The network's input, times ``factor`` and plus ``offset``, [channels] each."""

    factor: Array
    offset: Array

    @property
    def outputs(self) -> int:
        """Its channels."""
        return len(self.factor)

    def normalised(self, factor: Array, offset: Array) -> Image:
        """With ``y * factor + offset`` behind it."""
        return Image(self.factor * factor, self.offset * factor + offset)


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A feature map that is written, such as a max pool's output."""

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
    upsample: int = 0
    output_channels: str | None = None
    output_tiles: str | None = None
    groups: int = 1
    most: float | None = None
    """The activation's largest value, if it has one."""
    dilation: int = 1
    beside: tuple[str, ...] = ()
    """Further maps that it reads: the channels behind those of the source."""
    appended_to: str | None = None
    """The tensor behind whose channels its own are put."""
    bypass: bool = False
    """Where ``output_tiles`` is off the residual stands, without the activation."""
    unit: Array | None = None
    """The value of one unit of each filter's weights, if the network rounds them."""

    def normalised(self, factor: Array, offset: Array) -> Self:
        """With ``y * factor + offset`` folded in, both [out]."""
        weight = self.weight * factor[:, None, None, None]
        unit = None if self.unit is None else self.unit * np.abs(factor)
        return replace(self, weight=weight, bias=self.bias * factor + offset, unit=unit)

    @property
    def plain(self) -> bool:
        """Nothing follows the convolution (and its batch norm) yet."""
        return not (self.relu or self.residual or self.output_channels or self.output_tiles or self.appended_to)

    @property
    def in_use(self) -> bool:
        """Whether gates mask it, or it is added to something or put behind it."""
        return bool(self.residual or self.output_channels or self.output_tiles or self.appended_to)


@dataclass(frozen=True, eq=False)
class Upsampled:
    """A feature map whose pixels are repeated 2**shift times in both directions; only a sum can take it."""

    tensor: str
    shift: int


@dataclass(frozen=True, eq=False)
class Pooled:
    """The averages of a feature map over a grid (height, width) of equal bins.

    ``window`` is the edge of the bins if all are square and whole. ``level``: as a map it is one of a pyramid of bins.
    """

    source: str
    grid: tuple[int, int]
    channels: int
    window: int | None = None
    level: bool = False


@dataclass(frozen=True, eq=False)
class Interpolated:
    """A feature map, bilinearly upsampled to ``size`` (rows, columns); it is written out when it is used."""

    source: str
    size: tuple[int, int]
    align_corners: bool


@dataclass(frozen=True, eq=False)
class Together:
    """A concatenation of maps that lie apart; only a convolution can read it."""

    tensors: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A map times a mask of a shape, of which only a sum with another one times the opposite mask can be made."""

    value: FeatureMap | OpenConv
    mask: Mask
    mask_shape: tuple[int, ...]


Value = (
    Constant
    | Image
    | FeatureMap
    | OpenConv
    | Upsampled
    | Interpolated
    | Together
    | Pooled
    | DenseChain
    | GridLogits
    | Largest
    | LargestLogit
    | Mask
    | AnyOn
    | Number
    | Choice
    | Chosen
)


def describe(value: object) -> str:
    """What a value is, in the words of an error message."""
    match value:
        case Constant():
            return f"the parameter {value.path}"
        case Image():
            return "the image"
        case FeatureMap():
            return f"the feature map {value.tensor}"
        case OpenConv():
            return f"the output of convolution {value.name}"
        case Upsampled():
            return f"the upsampled map {value.tensor}"
        case Interpolated():
            return f"the bilinearly upsampled map {value.source}"
        case Together():
            return f"the concatenation of {' and '.join(value.tensors)}"
        case Pooled():
            return f"the average-pooled map of {value.source}"
        case DenseChain():
            return f"the output of fully connected layer {value.layers[-1].module}"
        case GridLogits():
            return f"the logits of spatial gate {value.module}"
        case Largest() | LargestLogit():
            return "the largest of several logits"
        case Mask():
            return "a gate's mask"
        case AnyOn():
            return "whether any bit of a decision is on"
        case Number():
            return f"the number {value.value:g}"
        case Choice():
            return "a choice by early exits"
        case Chosen():
            return f"{describe(value.value)} times a gate's mask"
    return repr(value)
