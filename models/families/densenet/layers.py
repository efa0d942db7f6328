"""The parts of a DenseNet (Huang et al. 2017, sections 3 and 4.1). Module names follow torchvision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.families.block import Block, BlockMasks, Work
from gatewright.models.gates.ddi import DenseLayerGate
from gatewright.models.gates.kinds import Gating

BOTTLENECK = 4
"""Channels between the convolutions of a dense layer, by those that it adds."""


class DenseLayer(Block):
    """Batch norm, ReLU and 1x1 convolution, then the same with a 3x3 one, whose map is put behind the layer's input.

    With DDI's gates one decides about the channels between the convolutions, from what the first of them reads.
    """

    def __init__(self, in_channels: int, growth: int, height: int, width: int, gating: Gating = "none") -> None:
        super().__init__(gating)
        self.in_channels, self.growth, self.out_channels = in_channels, growth, in_channels + growth
        self.height, self.width = height, width
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)
        if self.has_channels:
            self.mask_c = DenseLayerGate(in_channels, BOTTLENECK * growth, growth, height, width)

    def forward(self, x: Tensor) -> tuple[Tensor, BlockMasks]:
        """Return x [N, C, H, W] with the layer's channels behind its own, [N, C + growth, H, W], and its decisions."""
        read = F.relu(self.norm1(x))
        channel = self.mask_c(read) if self.has_channels else None
        out = self.conv2(self.masked_inside(F.relu(self.norm2(self.conv1(read))), channel, None))
        return torch.cat((x, out), 1), BlockMasks(None, channel)

    def work(self) -> tuple[Work, ...]:
        """Both convolutions."""
        inner = BOTTLENECK * self.growth
        return (Work(self.in_channels + 9 * self.growth, self.height, self.width, channels=inner),)


class Transition(Block):
    """Batch norm, ReLU, a 1x1 convolution to half the channels, and averages of 2x2 pixels.

    ``height`` and ``width`` are those of its input.
    """

    def __init__(self, in_channels: int, height: int, width: int) -> None:
        super().__init__("none")
        self.in_channels, self.out_channels = in_channels, in_channels // 2
        self.height, self.width = height, width
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, self.out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, BlockMasks]:
        """Return the map between two dense blocks [N, C // 2, H // 2, W // 2]; there are no masks."""
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2), BlockMasks(None, None)

    def work(self) -> tuple[Work, ...]:
        """The convolution."""
        return (Work(self.in_channels * self.out_channels, self.height, self.width),)
