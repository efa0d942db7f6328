"""Patterns of what gates, exits and classifiers compare: logits, and the decisions that are made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``weight`` [out, in], ``bias`` [out]."""

    module: str
    weight: Array
    bias: Array
    relu: bool = False
    norms: tuple[str, ...] = ()
    """The modules of the batch norms that are folded in."""
    unit: Array | None = None
    """The value of one unit of each row, if the network rounds the weights."""


@dataclass(frozen=True, eq=False)
class DenseChain:
    """Fully connected layers on a feature map's global average: a classifier or a channel gate."""

    source: str
    layers: tuple[Dense, ...]

    def last(self, **changes: object) -> DenseChain:
        """With the last layer changed."""
        return replace(self, layers=(*self.layers[:-1], replace(self.layers[-1], **changes)))  # type: ignore[arg-type]

    def normalised(self, factor: Array, offset: Array, *modules: str) -> DenseChain:
        """With ``y * factor + offset`` folded into the last layer, of batch norms ``modules`` or of plain numbers."""
        layer = self.layers[-1]
        weight, bias = layer.weight * factor[:, None], layer.bias * factor + offset
        unit = None if layer.unit is None else layer.unit * np.abs(factor)
        return self.last(weight=weight, bias=bias, unit=unit, norms=(*layer.norms, *modules))

    def mixed(self, matrix: Array) -> DenseChain:
        """With ``matrix @ y`` folded into the last layer."""
        layer = self.layers[-1]
        return self.last(weight=matrix @ layer.weight, bias=matrix @ layer.bias, unit=None)

    @property
    def outputs(self) -> int:
        """Numbers that come out of the last layer."""
        return len(self.layers[-1].bias)

    @property
    def linear(self) -> bool:
        """Whether the last layer has no ReLU yet, so that what is linear can be folded into it."""
        return not self.layers[-1].relu

    @property
    def classifies(self) -> bool:
        """Whether it is one layer without ReLU."""
        return len(self.layers) == 1 and not self.layers[0].relu

    def minus(self, other: Logits) -> DenseChain | None:
        """The difference, if it is one such chain: both have the layers but the last in common."""
        if not isinstance(other, DenseChain) or self.source != other.source or not (self.linear and other.linear):
            return None
        before, theirs = self.layers[:-1], other.layers[:-1]
        if len(before) != len(theirs) or any(a is not b for a, b in zip(before, theirs, strict=True)):
            return None
        last, added = self.layers[-1], other.layers[-1]
        if self.outputs != other.outputs:
            return None
        norms = tuple(dict.fromkeys((*last.norms, added.module, *added.norms)))
        return self.last(weight=last.weight - added.weight, bias=last.bias - added.bias, norms=norms)

    @property
    def modules(self) -> list[str]:
        """The modules whose parameters went into the chain."""
        return [module for layer in self.layers for module in (layer.module, *layer.norms)]


@dataclass(frozen=True, eq=False)
class GridLogits:
    """A 3x3 convolution over a pooled map: logits of spatial gates, of which a gate has one."""

    source: str
    grid: tuple[int, int]
    module: str
    weight: Array
    """[outputs, 3, 3, channels]."""
    bias: Array
    """[outputs]."""
    norms: tuple[str, ...] = ()

    def normalised(self, factor: Array, offset: Array, *modules: str) -> GridLogits:
        """With ``y * factor + offset`` folded in, of batch norms ``modules`` or of plain numbers."""
        weight, bias = self.weight * factor[:, None, None, None], self.bias * factor + offset
        return replace(self, weight=weight, bias=bias, norms=(*self.norms, *modules))

    def mixed(self, matrix: Array) -> GridLogits:
        """With ``matrix @ y`` folded in."""
        return replace(self, weight=np.tensordot(matrix, self.weight, 1), bias=matrix @ self.bias)

    @property
    def outputs(self) -> int:
        """Logits of a cell of the grid."""
        return len(self.bias)

    @property
    def linear(self) -> bool:
        """What is linear can be folded in."""
        return True

    def minus(self, other: Logits) -> GridLogits | None:
        """The difference, if both are of one pooled map."""
        if not isinstance(other, GridLogits) or (self.source, self.grid) != (other.source, other.grid):
            return None
        if self.outputs != other.outputs:
            return None
        norms = tuple(dict.fromkeys((*self.norms, other.module, *other.norms)))
        return replace(self, weight=self.weight - other.weight, bias=self.bias - other.bias, norms=norms)

    @property
    def modules(self) -> list[str]:
        """The modules whose parameters went into the logits."""
        return [self.module, *self.norms]


Logits = DenseChain | GridLogits
"""What a gate compares."""


@dataclass(frozen=True, eq=False)
class Largest:
    """The pair of the largest of several logits and its number; of two the number is a gate's decision."""

    logits: Logits


@dataclass(frozen=True, eq=False)
class Mask:
    """The 0/1 result of ``logits >= 0``, or of ``logits > 0`` if ``strict``."""

    logits: Logits
    strict: bool = False
    opposite_of: Mask | None = None

    @property
    def opposite(self) -> Mask:
        """1 where this is 0."""
        return Mask(self.logits.mixed(-np.eye(self.logits.outputs)), not self.strict, self)

    def is_opposite(self, other: Mask) -> bool:
        """Whether one of two masks has been made as the other's opposite."""
        return self.opposite_of is other or other.opposite_of is self


@dataclass(frozen=True, eq=False)
class LargestLogit:
    """The largest of several logits: an early exit's compares it with one threshold."""

    logits: DenseChain


@dataclass(frozen=True, eq=False)
class AnyOn:
    """Whether any bit of a decision is on: whether an image leaves at an early exit."""

    mask: Mask


@dataclass(frozen=True, eq=False)
class Number:
    """A number that is the same for every image, in a tensor."""

    value: float


@dataclass(frozen=True, eq=False)
class Choice:
    """Of several values the first whose condition holds, or the last: all are logits, or all numbers.

    Of logits it is what a network with early exits answers, of numbers which exit it was.
    """

    conditions: tuple[AnyOn, ...]
    values: tuple[DenseChain | Number, ...]
