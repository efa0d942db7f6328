"""A part of a network that gates may decide about, what they decided, and what it multiplies."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.gates.aig import LayerGate
from gatewright.models.gates.ddi import DenseLayerGate
from gatewright.models.gates.dgnet import ChannelGate, SpatialGate
from gatewright.models.gates.kinds import (
    BAS_HIDDEN,
    Gating,
    has_channel_gates,
    has_layer_gates,
    has_spatial_gates,
)
from gatewright.models.gates.skipnet import FeedForwardGate

AnyGate = SpatialGate | LayerGate | FeedForwardGate | ChannelGate | DenseLayerGate
"""A gate of a block."""

MaskKind = Literal["spatial", "channel"]
KINDS: tuple[MaskKind, ...] = ("spatial", "channel")


@dataclass
class BlockMasks:
    """The decisions of one block for a batch: [N, 1, mask_h, mask_w] and [N, C, 1, 1], or None.

    A layer gate's are those of a single tile. ``second`` are those of a block's second channel gate.
    """

    spatial: Tensor | None
    channel: Tensor | None
    second: Tensor | None = None

    def of(self, kind: MaskKind) -> list[Tensor]:
        """The masks of a kind, in the order in which they are decided."""
        masks = [self.spatial] if kind == "spatial" else [self.channel, self.second]
        return [mask for mask in masks if mask is not None]


@dataclass(frozen=True)
class Work:
    """What convolutions multiply that are decided about by the same gates.

    ``each`` are the MACs of a pixel of their output map, ``height`` x ``width``, and of a channel (or a pair of
    channels) that channel gates decide about. ``tiles`` says whether the spatial gate decides; ``channels`` and
    ``second`` are how many channels the first and the second channel gate decide about, 0 where they do not.
    """

    each: int
    height: int
    width: int
    tiles: bool = True
    channels: int = 0
    second: int = 0

    @property
    def macs(self) -> int:
        """MACs without gates."""
        return self.each * self.height * self.width * (self.channels or 1) * (self.second or 1)


class Block(nn.Module, ABC):
    """A part of a network: a class says what it computes and multiplies; its gates are modules ``mask_...`` of its own.

    ``tiles_between``: whether tiles are masked inside the block in training, too, as they are in evaluation and on the
    machine. The public release masks channels alone there. ``out_channels`` are those of the block's output.
    """

    out_channels: int

    def __init__(self, gating: Gating) -> None:
        super().__init__()
        self.gating, self.tiles_between = gating, False

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, BlockMasks]:
        """Return the block's output [N, C', H', W'] and its decisions."""

    @abstractmethod
    def work(self) -> tuple[Work, ...]:
        """What its convolutions multiply, its gates' own left out."""

    @property
    def has_tiles(self) -> bool:
        """Whether it has a spatial gate, or a layer gate."""
        return has_spatial_gates(self.gating)

    @property
    def has_layer(self) -> bool:
        """Whether a gate decides about the block as a whole."""
        return has_layer_gates(self.gating)

    @property
    def has_channels(self) -> bool:
        """Whether it has channel gates."""
        return has_channel_gates(self.gating)

    def channel_gate(self, in_channels: int, channels: int) -> ChannelGate:
        """A new gate of the kind that the block has."""
        return ChannelGate(in_channels, channels, BAS_HIDDEN if self.gating == "bas" else None)

    def layer_gate(self, in_channels: int, in_height: int, in_width: int) -> LayerGate | FeedForwardGate:
        """A new gate of the kind that the block has, which decides about it as a whole, for an input of a shape."""
        if self.gating == "skip":
            return FeedForwardGate(in_channels, in_height, in_width)
        return LayerGate(in_channels)

    def added(self, out: Tensor, identity: Tensor, layer: Tensor | None) -> Tensor:
        """The sum of a residual block and its ReLU; ``layer`` [N, 1, 1, 1] is its layer gate's mask.

        SkipNet keeps what is added to as it is, without the ReLU, where the gate is off.
        """
        if layer is None:
            return F.relu(out + identity)
        if self.gating == "skip":
            return layer * F.relu(out + identity) + (1 - layer) * identity
        return F.relu(out * layer + identity)

    def spatial_gates(self) -> list[SpatialGate]:
        """At most one."""
        return [module for module in self.children() if isinstance(module, SpatialGate)]

    def channel_gates(self) -> list[ChannelGate | DenseLayerGate]:
        """In the order in which they decide."""
        return [module for module in self.children() if isinstance(module, ChannelGate | DenseLayerGate)]

    def gates(self) -> list[AnyGate]:
        """All of them."""
        layer = [module for module in self.children() if isinstance(module, LayerGate | FeedForwardGate)]
        return [*self.spatial_gates(), *layer, *self.channel_gates()]

    def masked_inside(self, x: Tensor, channel: Tensor | None, tiles: Tensor | None) -> Tensor:
        """A map between the block's convolutions behind its gates; ``tiles`` [N, 1, H, W] has its resolution."""
        if channel is not None:
            x = x * channel
        if tiles is not None and (self.tiles_between or not self.training):
            x = x * tiles
        return x

    def set_logit_limit(self, limit: float | None) -> None:
        """Hold the gates' logits within a magnitude in training; see ``gates.dgnet.limited``."""
        for gate in self.gates():
            gate.logit_limit = limit

    def set_noise(self, share: float) -> None:
        """How much of the logistic noise DGNet's gates draw in training."""
        for gate in self.gates():
            if isinstance(gate, SpatialGate | ChannelGate):
                gate.noise = share

    def set_apart(self, apart: bool) -> None:
        """Whether the gradient of DGNet's gates stops at their inputs."""
        for gate in self.gates():
            if isinstance(gate, SpatialGate | ChannelGate):
                gate.apart = apart

    def dense_macs(self) -> int:
        """MACs of the block without gates."""
        return sum(work.macs for work in self.work())

    def gate_macs(self) -> int:
        """MACs of the block's gates (pooling additions are not counted, as in the public release)."""
        return sum(gate.macs() for gate in self.gates())

    def expected_macs(self, spatial: float, channel: float) -> float:
        """Mean MACs, without the gates' own, if tiles and channels are on independently with these densities."""
        return sum(
            work.macs * (spatial if work.tiles else 1.0) * channel ** (bool(work.channels) + bool(work.second))
            for work in self.work()
        )

    def gated_macs(self, masks: BlockMasks) -> Tensor:
        """MACs per sample, [N] (one number without gates), without the gates' own, as the public release counts."""
        total: Tensor | int = 0
        for work in self.work():
            macs: Tensor | int = work.each * work.height * work.width
            if work.tiles and masks.spatial is not None:
                macs = work.each * self.active_pixels(masks.spatial, work)
            for width, mask in ((work.channels, masks.channel), (work.second, masks.second)):
                if width:
                    macs = macs * (width if mask is None else mask.float().sum((1, 2, 3)))
            total = total + macs
        return torch.as_tensor(total)

    def active_pixels(self, mask: Tensor, work: Work) -> Tensor:
        """The pixels [N] of a map that are in active tiles of a mask [N, 1, mask_h, mask_w]."""
        return enlarged(mask.float(), work.height, work.width).sum((1, 2, 3))


def enlarged(mask: Tensor, height: int, width: int) -> Tensor:
    """A spatial mask [N, 1, mask_h, mask_w] at a map's resolution, [N, 1, height, width].

    Pixel y belongs to the tile floor(y * mask_h / height): where this is no whole number of pixels, tiles are ragged.
    """
    return F.interpolate(mask, size=(height, width), mode="nearest")


def halved(edge: int, stride: int) -> int:
    """The edge of a map behind a convolution with a stride that is padded by half its kernel."""
    return math.ceil(edge / stride)
