"""The basic block of a residual network, static or gated (He et al. 2016; DGNet, Li et al. 2021, section 3.3).

Module names follow the public DGNet release and torchvision, so that their checkpoints load.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.gates.dgnet import ChannelGate, SpatialGate
from gatewright.models.gates.kinds import Gating


@dataclass
class BlockMasks:
    """The decisions of one block for a batch: [N, 1, mask_h, mask_w] and [N, C, 1, 1], or None."""

    spatial: Tensor | None
    channel: Tensor | None


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a residual, optionally gated (paper, figure 3a).

    ``height`` and ``width`` are those of the block's output.
    """

    def __init__(
        self, in_channels: int, channels: int, height: int, width: int, stride: int, tile: int, gating: Gating
    ) -> None:
        super().__init__()
        self.in_channels, self.channels, self.tile = in_channels, channels, tile
        self.height, self.width = height, width
        if gating in ("dual", "spatial"):
            self.mask_s = SpatialGate(in_channels, height, width, tile)
        if gating in ("dual", "channel"):
            self.mask_c = ChannelGate(in_channels, channels)
        self.gating, self.tiles_between = gating, False
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> tuple[Tensor, BlockMasks]:
        """Return the block's output [N, C', H', W'] and its decisions.

        In evaluation both masks are applied between the convolutions, so that the second one sees zeros
        outside the active tiles, as on the machine. In training the public release applies the channel mask
        alone there; with ``tiles_between`` training, too, does as the machine does.
        """
        spatial = self.mask_s(x) if self.gating in ("dual", "spatial") else None
        channel = self.mask_c(x) if self.gating in ("dual", "channel") else None
        tiles = None if spatial is None else F.interpolate(spatial, size=(self.height, self.width), mode="nearest")
        out = F.relu(self.bn1(self.conv1(x)))
        if channel is not None:
            out = out * channel
        if tiles is not None and (self.tiles_between or not self.training):
            out = out * tiles
        out = self.bn2(self.conv2(out))
        if tiles is not None:
            out = out * tiles
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(out + shortcut), BlockMasks(spatial, channel)

    def set_logit_limit(self, limit: float | None) -> None:
        """Hold the gates' logits within a magnitude in training; see ``gates.dgnet.limited``."""
        if self.gating in ("dual", "spatial"):
            self.mask_s.logit_limit = limit
        if self.gating in ("dual", "channel"):
            self.mask_c.logit_limit = limit

    def shortcut_macs(self) -> int:
        """MACs of the shortcut's convolution, which no gate touches; 0 where there is none."""
        return 0 if self.downsample is None else self.height * self.width * self.channels * self.in_channels

    def dense_macs(self) -> int:
        """MACs of the block without gates: both convolutions and the shortcut."""
        pixels = self.height * self.width
        return 9 * pixels * self.channels * (self.in_channels + self.channels) + self.shortcut_macs()

    def gate_macs(self) -> int:
        """MACs of the block's gates (pooling additions are not counted, as in the public release)."""
        spatial = self.mask_s.macs() if self.gating in ("dual", "spatial") else 0
        channel = self.mask_c.macs() if self.gating in ("dual", "channel") else 0
        return spatial + channel

    def gated_macs(self, masks: BlockMasks) -> Tensor:
        """MACs per sample, [N], as the public release counts them: without the gates' own.

        Every active tile counts tile*tile pixels, also at a border that cuts it.
        """
        pixels: Tensor | int = self.height * self.width
        channels: Tensor | int = self.channels
        if masks.spatial is not None:
            pixels = self.tile * self.tile * masks.spatial.float().sum((1, 2, 3))
        if masks.channel is not None:
            channels = masks.channel.float().sum((1, 2, 3))
        return torch.as_tensor(9 * pixels * channels * (self.in_channels + self.channels) + self.shortcut_macs())
