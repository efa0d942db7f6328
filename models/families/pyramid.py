"""A feature pyramid behind the stages of a residual network (Lin et al. 2017). Modules are named as torchvision's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.residual.network import ResidualNetwork

IMAGENET_CLASSES = 1000
"""Of the classifier that a detector's residual network has, and does not use."""


class Levels(nn.Module):
    """Maps of one width: each the lateral 1x1 convolution of a stage plus the coarser map, upsampled; 3x3 behind.

    ``channels`` are those of the stages, finest first.
    """

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.layer_blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)

    def levels(self, stages: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Of the stages' maps as many levels, finest first, and the coarsest one's sum, which its 3x3 reads."""
        inner = coarsest = self.inner_blocks[-1](stages[-1])
        levels = [self.layer_blocks[-1](inner)]
        for number in range(len(stages) - 2, -1, -1):
            upsampled = F.interpolate(inner, scale_factor=2.0, mode="nearest")
            inner = self.inner_blocks[number](stages[number]) + upsampled
            levels.insert(0, self.layer_blocks[number](inner))
        return levels, coarsest


class Stages(nn.Module):
    """A residual network without its classifier, of which the last ``count`` stages' maps are handed on.

    Its gates stay where they are. Each stage but the first has a map of half the pixels in either direction.
    """

    def __init__(self, backbone: ResidualNetwork[Any], count: int) -> None:
        super().__init__()
        positions = [*backbone.main_blocks(), len(backbone.blocks()) - 1]
        if len(positions) < count:
            raise GatewrightError(f"a pyramid needs {count} stages, and the network has {len(positions)}")
        self.positions = positions[-count:]
        blocks = [backbone.blocks()[position] for position in self.positions]
        sizes = [(block.height, block.width) for block in blocks]
        if any((2 * low, 2 * right) != (high, wide) for (high, wide), (low, right) in pairwise(sizes)):
            raise GatewrightError(
                f"the stages' maps are of {', '.join(f'{h}x{w}' for h, w in sizes)} pixels; a pyramid needs maps of "
                "which each has half the pixels of the one before in either direction: choose another size of images"
            )
        self.backbone = backbone
        self.channels = [block.out_channels for block in blocks]

    def stages(self, x: Tensor) -> list[Tensor]:
        """Of normalised images [N, 3, H, W] the stages' maps, finest first."""
        x = self.backbone.stem(x)
        found = []
        for position, block in enumerate(self.backbone.blocks()):
            x, _ = block(x)
            if position in self.positions:
                found.append(x)
        return found


def initialise(parts: list[nn.Module]) -> None:
    """Weights of the same deviation everywhere in a pyramid and its heads."""
    for module in (module for part in parts for module in part.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=1)
            assert module.bias is not None
            with torch.no_grad():
                module.bias.zero_()
