"""The bottleneck block of a residual network, static or gated (He et al. 2016; DGNet, Li et al. 2021, figure 3b).

Module names follow the public DGNet release and torchvision, so that their checkpoints load.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.families.block import Block, BlockMasks, Work, enlarged, halved
from gatewright.models.families.residual.shortcut import shortcut
from gatewright.models.gates.dgnet import SpatialGate
from gatewright.models.gates.kinds import Gating

EXPANSION = 4
"""Channels of a block's output, by those of its 3x3 convolution."""


class Bottleneck(Block):
    """1x1, 3x3 (which has the stride) and 1x1 convolution with a residual, optionally gated.

    One spatial mask, on the grid of the 3x3 convolution's output, is decided from the block's input. It masks the
    first convolution's output, too, where a tile is ``stride`` times as wide. The first channel gate reads the block's
    input. The second reads what the first convolution hands on: tiles and channels that were left out are zeros in
    its average. With BAS gates both read the block's input, so that all is decided before the first convolution; the
    paper has no bottleneck blocks in its text.

    ``in_height`` and ``in_width`` are those of the block's input, ``channels`` those of the 3x3 convolution, ``tile``
    the edge of a tile in pixels of the block's output. ``dilation`` is that of the 3x3 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        in_height: int,
        in_width: int,
        stride: int,
        tile: int,
        gating: Gating,
        dilation: int = 1,
    ) -> None:
        super().__init__(gating)
        self.in_channels, self.channels, self.out_channels = in_channels, channels, EXPANSION * channels
        self.in_height, self.in_width, self.tile = in_height, in_width, tile
        self.height, self.width = halved(in_height, stride), halved(in_width, stride)
        if self.has_layer:
            self.mask_l = self.layer_gate(in_channels, in_height, in_width)
        elif self.has_tiles:
            self.mask_s = SpatialGate(in_channels, self.height, self.width, tile)
        if self.has_channels:
            self.mask_c1 = self.channel_gate(in_channels, channels)
            self.mask_c2 = self.channel_gate(in_channels if self.gating == "bas" else channels, channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, self.out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(self.out_channels)
        self.downsample = shortcut(in_channels, self.out_channels, stride)

    def forward(self, x: Tensor) -> tuple[Tensor, BlockMasks]:
        """Return the block's output [N, C', H', W'] and its decisions; for training see ``BasicBlock.forward``."""
        layer = self.mask_l(x) if self.has_layer else None
        spatial = self.mask_s(x) if self.has_tiles and layer is None else None
        first = self.mask_c1(x) if self.has_channels else None
        wide = None if spatial is None else enlarged(spatial, self.in_height, self.in_width)
        out = self.masked_inside(F.relu(self.bn1(self.conv1(x))), first, wide)
        second = self.mask_c2(x if self.gating == "bas" else out) if self.has_channels else None
        tiles = None if spatial is None else enlarged(spatial, self.height, self.width)
        out = self.masked_inside(F.relu(self.bn2(self.conv2(out))), second, tiles)
        out = self.bn3(self.conv3(out))
        if tiles is not None:
            out = out * tiles
        identity = x if self.downsample is None else self.downsample(x)
        return self.added(out, identity, layer), BlockMasks(spatial if layer is None else layer, first, second)

    def work(self) -> tuple[Work, ...]:
        """The three convolutions, and the shortcut's, which no gate touches."""
        gated = (
            Work(self.in_channels, self.in_height, self.in_width, channels=self.channels),
            Work(9, self.height, self.width, channels=self.channels, second=self.channels),
            Work(self.out_channels, self.height, self.width, second=self.channels),
        )
        if self.downsample is None:
            return gated
        return *gated, Work(self.out_channels * self.in_channels, self.height, self.width, tiles=False)
