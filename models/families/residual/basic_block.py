"""The basic block of a residual network, static or gated (He et al. 2016; DGNet, Li et al. 2021, section 3.3).

Module names follow the public DGNet release and torchvision, so that their checkpoints load.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.families.block import Block, BlockMasks, Work, enlarged, halved
from gatewright.models.families.residual.shortcut import shortcut
from gatewright.models.gates.dgnet import SpatialGate
from gatewright.models.gates.kinds import Gating


class BasicBlock(Block):
    """Two 3x3 convolutions with a residual, optionally gated (paper, figure 3a).

    ``in_height`` and ``in_width`` are those of the block's input, ``tile`` the edge of a tile in pixels of its output.
    ``dilation`` is that of both convolutions.
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
        self.in_channels, self.channels, self.out_channels, self.tile = in_channels, channels, channels, tile
        self.height, self.width = halved(in_height, stride), halved(in_width, stride)
        if self.has_layer:
            self.mask_l = self.layer_gate(in_channels, in_height, in_width)
        elif self.has_tiles:
            self.mask_s = SpatialGate(in_channels, self.height, self.width, tile)
        if self.has_channels:
            self.mask_c = self.channel_gate(in_channels, channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> tuple[Tensor, BlockMasks]:
        """Return the block's output [N, C', H', W'] and its decisions.

        In evaluation both masks are applied between the convolutions, so that the second one sees zeros
        outside the active tiles, as on the machine. In training the public release applies the channel mask
        alone there; with ``tiles_between`` training, too, does as the machine does. A layer gate's mask multiplies what
        is added to the residual.
        """
        layer = self.mask_l(x) if self.has_layer else None
        spatial = self.mask_s(x) if self.has_tiles and layer is None else None
        channel = self.mask_c(x) if self.has_channels else None
        tiles = None if spatial is None else enlarged(spatial, self.height, self.width)
        out = self.masked_inside(F.relu(self.bn1(self.conv1(x))), channel, tiles)
        out = self.bn2(self.conv2(out))
        if tiles is not None:
            out = out * tiles
        identity = x if self.downsample is None else self.downsample(x)
        return self.added(out, identity, layer), BlockMasks(spatial if layer is None else layer, channel)

    def work(self) -> tuple[Work, ...]:
        """Both convolutions, and the shortcut's, which no gate touches."""
        both = Work(9 * (self.in_channels + self.channels), self.height, self.width, channels=self.channels)
        if self.downsample is None:
            return (both,)
        return both, Work(self.channels * self.in_channels, self.height, self.width, tiles=False)

    def active_pixels(self, mask: Tensor, work: Work) -> Tensor:
        """Every active tile counts tile*tile pixels, as in the public release, also at a border that cuts it."""
        if self.has_layer:
            return super().active_pixels(mask, work)
        return self.tile * self.tile * mask.float().sum((1, 2, 3))
