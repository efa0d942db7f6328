"""The block of MobileNetV2, static or gated (Sandler et al. 2018; DGNet, Li et al. 2021, section 4.1).

Module names follow torchvision and the public DGNet release, so that their checkpoints load.
"""

from __future__ import annotations

from torch import Tensor, nn

from gatewright.models.families.block import Block, BlockMasks, Work, enlarged, halved
from gatewright.models.gates.dgnet import SpatialGate
from gatewright.models.gates.kinds import Gating


def convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that is padded by half its kernel, its batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    )


class InvertedResidual(Block):
    """A 1x1 convolution that expands, a 3x3 depthwise one and a 1x1 one that projects, without an activation.

    Where nothing is expanded (``expansion`` 1) the first is left out. A block of stride 1 with as many channels out as
    in adds its input, and only such a block has gates. Both read the block's input. The channel mask, one bit for each
    expanded channel, is applied behind the depthwise convolution, and prunes all three; the spatial mask is applied
    behind each of the three.

    ``in_height`` and ``in_width`` are those of the block's input, ``tile`` the edge of a tile in pixels of its output.
    A grid that does not divide the map is kept: the gate's bins then overlap, and tiles are ragged; see ``enlarged``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        in_height: int,
        in_width: int,
        stride: int,
        expansion: int,
        tile: int,
        gating: Gating,
    ) -> None:
        self_adding = stride == 1 and in_channels == out_channels
        super().__init__(gating if self_adding else "none")
        self.in_channels, self.hidden, self.out_channels = in_channels, expansion * in_channels, out_channels
        self.adds_input, self.expands = self_adding, expansion != 1
        self.in_height, self.in_width = in_height, in_width
        self.height, self.width = halved(in_height, stride), halved(in_width, stride)
        layers: list[nn.Module] = [convolution(in_channels, self.hidden, 1)] if self.expands else []
        layers += [
            convolution(self.hidden, self.hidden, 3, stride, groups=self.hidden),
            nn.Conv2d(self.hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        if self.has_channels:
            self.mask_c = self.channel_gate(in_channels, self.hidden)
        if self.has_tiles:
            self.mask_s = SpatialGate(in_channels, self.height, self.width, tile)

    def forward(self, x: Tensor) -> tuple[Tensor, BlockMasks]:
        """Return the block's output [N, C', H', W'] and its decisions.

        In training the public release applies the channel mask alone inside the block; with ``tiles_between`` training,
        too, masks tiles there.
        """
        channel = self.mask_c(x) if self.has_channels else None  # the release draws its noise first, too
        spatial = self.mask_s(x) if self.has_tiles else None
        tiles = None if spatial is None else enlarged(spatial, self.height, self.width)
        *expand, depthwise, project, norm = self.conv
        out = x
        for layer in expand:
            out = self.masked_inside(layer(out), None, tiles)
        out = self.masked_inside(depthwise(out), channel, tiles)
        out = norm(project(out))
        if tiles is not None:
            out = out * tiles
        return (x + out if self.adds_input else out), BlockMasks(spatial, channel)

    def work(self) -> tuple[Work, ...]:
        """The convolutions; a gated block has stride 1, so that its maps have one resolution."""
        expand = (Work(self.in_channels, self.in_height, self.in_width, channels=self.hidden),) if self.expands else ()
        return *expand, Work(9 + self.out_channels, self.height, self.width, channels=self.hidden)
