"""A detector of one stage: a residual network, a feature pyramid, and heads that all levels share (Lin et al. 2017).

Boxes, scores and the suppression of overlapping boxes are the host's; the machine gives the heads' maps. Modules are
named as torchvision's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.families.pyramid import Levels, Stages, initialise
from gatewright.models.families.residual.network import ResidualNetwork

ANCHORS = 9
"""Boxes of each place: three sizes by three aspect ratios."""

BOX = 4
"""Numbers of a box."""

TOP_DOWN = 3
"""Stages of the residual network, the last ones, that the pyramid reads."""

PRIOR = 0.01
"""The score that a class has everywhere before training (section 4.1 of the paper)."""


class FeaturePyramid(Levels):
    """The stages' levels, and two coarser ones, by convolutions of stride 2."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__(channels, width)
        self.p6 = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """The levels, finest first: as many as stages, and two."""
        levels, _ = self.levels(stages)
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


class RetinaNet(Stages):
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
        super().__init__(backbone, TOP_DOWN)
        self.fpn = FeaturePyramid(self.channels, width)
        self.classification_head = Head(width, convolutions, ANCHORS * classes)
        self.regression_head = Head(width, convolutions, ANCHORS * BOX)
        initialise([self.fpn, self.classification_head, self.regression_head])
        for head in (self.classification_head, self.regression_head):
            nn.init.normal_(head.out.weight, std=0.01)
        assert self.classification_head.out.bias is not None
        nn.init.constant_(self.classification_head.out.bias, float(torch.logit(torch.tensor(PRIOR))))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Of normalised images [N, 3, H, W] the maps of classes and of boxes, in turn, of every level, finest first.

        They are [N, 9 * classes, h, w] and [N, 36, h, w]: logits, and numbers relative to anchors.
        """
        levels = self.fpn(self.stages(x))
        return [head(level) for level in levels for head in (self.classification_head, self.regression_head)]
