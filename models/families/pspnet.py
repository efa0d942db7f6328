"""A network for segmentation: a dilated residual network, pyramid pooling, a head (Zhao et al. 2017).

The maps of the last two stages are as large as the second one's, and their 3x3 convolutions are dilated instead. The
last map is averaged over grids of bins; each level goes through a 1x1 convolution, is bilinearly upsampled, and is
concatenated with the map. The machine gives a map of class scores with an eighth of the image's pixels in either
direction; its upsampling to the image's size is the host's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import halved
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.residual.network import AnyBlock, ResidualNetwork, Stage
from gatewright.models.families.resnet_imagenet.network import BASIC, BOTTLENECK
from gatewright.models.gates.kinds import Gating

BINS = (1, 2, 3, 6)
"""Bins of each level of the pyramid, in either direction (section 3.2 of the paper)."""

STAGES = ((64, 1, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))
"""Per stage: channels, stride of its first block, dilation."""

OUTPUT_STRIDE = 8
"""Pixels of the image for a pixel of the last map."""

WHOLE_BINS = OUTPUT_STRIDE * BINS[-1]
"""Of a multiple of this many pixels the bins of all levels divide the last map."""

DEFAULT_SIZE = 240
"""Edge of an image in pixels, if nothing else is said."""

MOST_TILE = 8
"""The largest edge of a spatial gate's tile in the last map."""


def tile_of(edge: int) -> int:
    """The edge of a tile in a last map of ``edge`` pixels: a bin of the last level is whole tiles."""
    bin_edge = edge // BINS[-1]
    return next(tile for tile in range(MOST_TILE, 0, -1) if bin_edge % tile == 0)


class DilatedResNet(ResidualNetwork[AnyBlock]):
    """An ImageNet ResNet whose last two stages keep the map's size; ``size`` is a multiple of 48.

    Spatial gates of all stages have as many tiles, as in DGNet's networks.
    """

    def __init__(
        self,
        depth: int,
        block: type[AnyBlock],
        blocks: tuple[int, ...],
        gating: Gating = "none",
        size: int = DEFAULT_SIZE,
    ) -> None:
        if size % WHOLE_BINS:
            raise GatewrightError(
                f"a PSPNet for images of {size} pixels would have bins of several sizes; take a multiple of "
                f"{WHOLE_BINS}"
            )
        edge, tile = halved(halved(size, 2), 2), tile_of(size // OUTPUT_STRIDE)
        stages = [
            Stage(channels, stride, 2 * tile if number == 0 else tile, count, dilation)
            for number, ((channels, stride, dilation), count) in enumerate(zip(STAGES, blocks, strict=True))
        ]
        stem = nn.Conv2d(3, STAGES[0][0], 7, stride=2, padding=3, bias=False)
        super().__init__(depth, gating, 1000, size, stem, edge, stages, block)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def stem(self, x: Tensor) -> Tensor:
        """A 7x7 convolution and a 3x3 max pool, either of stride 2."""
        return self.maxpool(F.relu(self.bn1(self.conv1(x))))


def dilated_resnet(depth: int, gating: Gating = "none", size: int = DEFAULT_SIZE) -> DilatedResNet[Any]:
    """The dilated ResNet-18, -34, -50 or -101."""
    if depth in BASIC:
        return DilatedResNet(depth, BasicBlock, BASIC[depth], gating, size)
    if depth in BOTTLENECK:
        return DilatedResNet(depth, Bottleneck, BOTTLENECK[depth], gating, size)
    raise GatewrightError(f"there is no ResNet-{depth} here; depths are {', '.join(map(str, (*BASIC, *BOTTLENECK)))}")


class PyramidPooling(nn.Module):
    """Of a map the map itself and levels of its averages, each by a 1x1 convolution to a share of the channels."""

    def __init__(self, channels: int, bins: tuple[int, ...] = BINS) -> None:
        super().__init__()
        self.bins, share = bins, channels // len(bins)
        self.reduce = nn.ModuleList(nn.Conv2d(channels, share, 1, bias=False) for _ in bins)
        self.norms = nn.ModuleList(nn.BatchNorm2d(share) for _ in bins)
        self.out_channels = channels + share * len(bins)

    def forward(self, x: Tensor) -> Tensor:
        """Of a map [N, C, H, W] the concatenation [N, 2 C, H, W]."""
        size = x.shape[2:]
        levels = [
            F.relu(norm(reduce(F.adaptive_avg_pool2d(x, count))))
            for count, reduce, norm in zip(self.bins, self.reduce, self.norms, strict=True)
        ]
        wide = [F.interpolate(level, size=size, mode="bilinear", align_corners=True) for level in levels]
        return torch.cat([x, *wide], 1)


class PSPNet(nn.Module):
    """The class scores of an image's places, of a residual network without its classifier.

    Parameters
    ----------
    backbone
        Its blocks' gates stay where they are. The bins of all levels divide its last map.
    classes
        Classes of pixels; 19 are Cityscapes'.
    width
        Channels of the head.
    """

    def __init__(self, backbone: ResidualNetwork[Any], classes: int = 19, width: int = 512) -> None:
        super().__init__()
        last = backbone.blocks()[-1]
        if last.height % BINS[-1] or last.width % BINS[-1]:
            raise GatewrightError(
                f"the last map has {last.height}x{last.width} pixels, which {BINS[-1]} bins do not divide: choose "
                "another size of images"
            )
        self.backbone = backbone
        self.ppm = PyramidPooling(last.out_channels)
        self.conv = nn.Conv2d(self.ppm.out_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.scores = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Of normalised images [N, 3, H, W] the scores [N, classes, H / 8, W / 8]."""
        x = self.backbone.stem(x)
        for block in self.backbone.blocks():
            x, _ = block(x)
        scores: Tensor = self.scores(F.relu(self.norm(self.conv(self.ppm(x)))))
        return scores
