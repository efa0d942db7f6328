"""What of a detector of two stages is dense: the region proposal network, and the head of its boxes (Ren et al. 2015).

The machine makes the maps of scores and of boxes for every place of a feature pyramid. The host takes the best boxes,
suppresses those that overlap, and reads the pyramid's levels at the places of those that are left: addresses that
depend on values. What it has read, 7x7 pixels for a box, goes through the head on the machine again, many boxes side by
side. Softmax, boxes' coordinates and the last suppression are the host's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.families.pyramid import Levels, Stages, initialise
from gatewright.models.families.residual.network import ResidualNetwork

ANCHORS = 3
"""Boxes of each place, by aspect ratio; their size is the level's."""

BOX = 4
"""Numbers of a box."""

STAGES = 4
"""Stages of the residual network that the pyramid reads: all of ResNet's."""

POOLED = 7
"""Pixels that are read of a box, in either direction."""


class RegionProposals(Stages):
    """A residual network, a feature pyramid of all four stages, and the region proposal network on five levels.

    ``width`` are the channels of the levels. Every second pixel of the coarsest one is a level of its own: its 3x3
    convolution with stride 2.
    """

    def __init__(self, backbone: ResidualNetwork[Any], width: int = 256) -> None:
        super().__init__(backbone, STAGES)
        self.fpn, self.rpn = Levels(self.channels, width), ProposalHead(width)
        initialise([self.fpn, self.rpn])
        for layer in (self.rpn.conv, self.rpn.cls_logits, self.rpn.bbox_pred):
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Of normalised images [N, 3, H, W]: scores and boxes, in turn, of five levels, finest first; then the levels.

        They are [N, 3, h, w], [N, 12, h, w] and [N, width, h, w]; the host reads the proposed boxes' pixels of the four
        levels that are returned.
        """
        levels, coarsest = self.fpn.levels(self.stages(x))
        last = self.fpn.layer_blocks[-1]
        assert isinstance(last, nn.Conv2d)
        half = F.conv2d(coarsest, last.weight, last.bias, stride=2, padding=1)
        return [*(one for level in (*levels, half) for one in self.rpn(level)), *levels]


class ProposalHead(nn.Module):
    """A 3x3 convolution with ReLU, and two 1x1 convolutions; the filters are the same at every level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.cls_logits, self.bbox_pred = nn.Conv2d(width, ANCHORS, 1), nn.Conv2d(width, ANCHORS * BOX, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of a level [N, width, h, w] the logits of objects [N, 3, h, w] and the boxes [N, 12, h, w]."""
        x = F.relu(self.conv(x))
        return self.cls_logits(x), self.bbox_pred(x)


class BoxHead(nn.Module):
    """Two fully connected layers of ``hidden`` neurons, and those of classes and boxes, for many boxes at once.

    Boxes lie side by side in an image of 7 rows, so that the first layer is a 7x7 convolution with stride 7.
    ``classes`` has the background among them.
    """

    def __init__(self, classes: int = 81, width: int = 256, hidden: int = 1024) -> None:
        super().__init__()
        self.fc6, self.fc7 = nn.Conv2d(width, hidden, POOLED, POOLED), nn.Conv2d(hidden, hidden, 1)
        self.cls_score, self.bbox_pred = nn.Conv2d(hidden, classes, 1), nn.Conv2d(hidden, BOX * classes, 1)
        initialise([self])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Of the pixels of B boxes [N, width, 7, 7 B] logits [N, classes, 1, B], boxes [N, 4 classes, 1, B]."""
        x = F.relu(self.fc7(F.relu(self.fc6(x))))
        return [self.cls_score(x), self.bbox_pred(x)]


def side_by_side(boxes: Tensor) -> Tensor:
    """The pixels of boxes [B, C, 7, 7] as one image [1, C, 7, 7 B]."""
    return torch.cat(list(boxes), 2)[None]
