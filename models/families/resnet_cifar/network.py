"""CIFAR ResNets, static and dual-gated (He et al. 2016; DGNet, Li et al. 2021, section 3.3).

Module names follow the public DGNet release, so that its ``.pth.tar`` checkpoints load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.gates.dgnet import ChannelGate, SpatialGate
from gatewright.models.gates.kinds import Gating

DEPTHS = (20, 32, 56, 110)
STAGES = ((16, 1, 4), (32, 2, 2), (64, 2, 2))
"""Per stage: channels, stride of its first block, tile edge (paper, section 4.1)."""


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

    def dense_macs(self) -> int:
        """MACs of the block without gates: both convolutions and the shortcut."""
        pixels = self.height * self.width
        shortcut = 0 if self.downsample is None else pixels * self.channels * self.in_channels
        return 9 * pixels * self.channels * (self.in_channels + self.channels) + shortcut

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
        shortcut = 0 if self.downsample is None else self.height * self.width * self.channels * self.in_channels
        return torch.as_tensor(9 * pixels * channels * (self.in_channels + self.channels) + shortcut)


class ResNetCifar(nn.Module):
    """ResNet-20/32/56/110 for square images, with 1x1-convolution shortcuts.

    Parameters
    ----------
    depth
        6n+2 layers; see ``DEPTHS``.
    gating
        Which gates every block has.
    classes, size
        Number of classes; edge of the input image (the head pools whatever is left).
    """

    def __init__(self, depth: int, gating: Gating = "none", classes: int = 10, size: int = 32) -> None:
        super().__init__()
        if (depth - 2) % 6 or depth < 8:
            raise GatewrightError(f"ResNet depth {depth} is not 6n+2; use one of {DEPTHS}")
        self.depth, self.gating, self.classes, self.size = depth, gating, classes, size
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        in_channels = 16
        for number, (channels, first_stride, tile) in enumerate(STAGES, start=1):
            blocks = []
            for index in range((depth - 2) // 6):
                stride = first_stride if index == 0 else 1
                size = math.ceil(size / stride)
                blocks.append(BasicBlock(in_channels, channels, size, size, stride, tile, gating))
                in_channels = channels
            setattr(self, f"layer{number}", nn.ModuleList(blocks))
        self.fc = nn.Linear(in_channels, classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        for module in self.modules():
            if isinstance(module, SpatialGate | ChannelGate):
                module.reset_gate()

    def blocks(self) -> list[BasicBlock]:
        """The residual blocks, in order of execution."""
        return [block for stage in (self.layer1, self.layer2, self.layer3) for block in stage]  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N, classes] of normalised images x [N, 3, size, size]."""
        return self.forward_with_masks(x)[0]

    def forward_with_masks(self, x: Tensor) -> tuple[Tensor, list[BlockMasks]]:
        """As ``forward``, with the decisions of every block."""
        x = F.relu(self.bn1(self.conv1(x)))
        masks = []
        for block in self.blocks():
            x, decided = block(x)
            masks.append(decided)
        return self.fc(x.mean((2, 3))), masks

    def ungated_macs(self) -> int:
        """MACs outside the residual blocks: the stem and the classifier."""
        return 9 * self.size * self.size * 16 * 3 + self.fc.in_features * self.classes

    def dense_macs(self) -> int:
        """MACs of the network without gates, as the public release counts them."""
        return self.ungated_macs() + sum(block.dense_macs() for block in self.blocks())

    def gated_macs(self, masks: list[BlockMasks]) -> Tensor:
        """MACs per sample [N], gates' own and ungated layers included."""
        fixed = self.ungated_macs() + sum(block.gate_macs() for block in self.blocks())
        return fixed + torch.stack([b.gated_macs(m) for b, m in zip(self.blocks(), masks, strict=True)]).sum(0)
