"""A detector of one stage: a residual network, a feature pyramid, and heads that all levels share (Lin et al. 2017).

Boxes, scores and the suppression of overlapping boxes are the host's; the machine gives the heads' maps. Modules are
named as torchvision's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.residual.network import ResidualNetwork

ANCHORS = 9
"""Boxes of each place: three sizes by three aspect ratios."""

BOX = 4
"""Numbers of a box."""

TOP_DOWN = 3
"""Stages of the residual network, the last ones, that the pyramid reads."""

PRIOR = 0.01
"""The score that a class has everywhere before training (section 4.1 of the paper)."""


class FeaturePyramid(nn.Module):
    """Maps of one width: each the lateral 1x1 convolution of a stage plus the coarser map, upsampled; 3x3 behind.

    ``channels`` are those of the stages, finest first. Two coarser levels follow, by convolutions of stride 2.
    """

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.layer_blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)
        self.p6 = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """The levels, finest first: as many as stages, and two."""
        inner = self.inner_blocks[-1](stages[-1])
        levels = [self.layer_blocks[-1](inner)]
        for number in range(len(stages) - 2, -1, -1):
            upsampled = F.interpolate(inner, scale_factor=2.0, mode="nearest")
            inner = self.inner_blocks[number](stages[number]) + upsampled
            levels.insert(0, self.layer_blocks[number](inner))
        # The coarsest level reads the one before behind a ReLU, and the heads read that one without: it is made twice.
        before = F.relu(self.p6(levels[-1]))
        return [*levels, self.p6(levels[-1]), self.p7(before)]


class Head(nn.Module):
    """3x3 convolutions with ReLU, and one to ``outputs`` maps; the filters are the same at every level."""

    def __init__(self, width: int, convolutions: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(convolutions))
        self.out = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Of a level [N, width, H, W] the maps [N, outputs, H, W]."""
        for conv in self.conv:
            x = F.relu(conv(x))
        out: Tensor = self.out(x)
        return out


class RetinaNet(nn.Module):
    """The maps of a detector, of a residual network without its classifier.

    Parameters
    ----------
    backbone
        With three stages or more, of which each but the first halves the map; its gates stay where they are.
    classes
        Classes of objects.
    width
        Channels of the pyramid's levels.
    convolutions
        3x3 convolutions of a head before its last one.
    """

    def __init__(
        self, backbone: ResidualNetwork[Any], classes: int = 80, width: int = 256, convolutions: int = 4
    ) -> None:
        super().__init__()
        positions = [*backbone.main_blocks(), len(backbone.blocks()) - 1]
        if len(positions) < TOP_DOWN:
            raise GatewrightError(f"a pyramid needs {TOP_DOWN} stages, and the network has {len(positions)}")
        self.positions = positions[-TOP_DOWN:]
        blocks = [backbone.blocks()[position] for position in self.positions]
        sizes = [(block.height, block.width) for block in blocks]
        if any((2 * low, 2 * right) != (high, wide) for (high, wide), (low, right) in pairwise(sizes)):
            raise GatewrightError(
                f"the stages' maps are of {', '.join(f'{h}x{w}' for h, w in sizes)} pixels; a pyramid needs maps of "
                "which each has half the pixels of the one before in either direction: choose another size of images"
            )
        self.backbone = backbone
        self.fpn = FeaturePyramid([block.out_channels for block in blocks], width)
        self.classification_head = Head(width, convolutions, ANCHORS * classes)
        self.regression_head = Head(width, convolutions, ANCHORS * BOX)
        self._initialise()

    def _initialise(self) -> None:
        """Weights of the same deviation everywhere; every class has the score ``PRIOR``."""
        for part in (self.fpn, self.classification_head, self.regression_head):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_uniform_(module.weight, a=1)
                    assert module.bias is not None
                    nn.init.zeros_(module.bias)
        for head in (self.classification_head, self.regression_head):
            nn.init.normal_(head.out.weight, std=0.01)
        assert self.classification_head.out.bias is not None
        nn.init.constant_(self.classification_head.out.bias, float(torch.logit(torch.tensor(PRIOR))))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Of normalised images [N, 3, H, W] the maps of classes and of boxes, in turn, of every level, finest first.

        They are [N, 9 * classes, h, w] and [N, 36, h, w]: logits, and numbers relative to anchors.
        """
        x = self.backbone.stem(x)
        stages = []
        for position, block in enumerate(self.backbone.blocks()):
            x, _ = block(x)
            if position in self.positions:
                stages.append(x)
        levels = self.fpn(stages)
        return [head(level) for level in levels for head in (self.classification_head, self.regression_head)]
