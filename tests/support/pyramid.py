"""A small network with a feature pyramid: coarse maps are upsampled and added, and every level is returned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pyramid(nn.Module):
    """Three levels of a backbone, lateral 1x1 convolutions, and heads with the same filters at every level."""

    def __init__(self, channels: int = 8, width: int = 12, out: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, 1, 1)
        self.stages = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(3))
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for _ in range(3))
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(3))
        self.tower = nn.Conv2d(width, width, 3, 1, 1)
        self.head = nn.Conv2d(width, out, 3, 1, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        value, levels = torch.relu(self.stem(image)), []
        for stage in self.stages:
            value = torch.relu(stage(value))
            levels.append(value)
        inner = self.lateral[2](levels[2])
        pyramid = [self.smooth[2](inner)]
        for level in (1, 0):
            inner = self.lateral[level](levels[level]) + F.interpolate(inner, scale_factor=2, mode="nearest")
            pyramid.append(self.smooth[level](inner))
        return [self.head(torch.relu(self.tower(level))) for level in pyramid]
