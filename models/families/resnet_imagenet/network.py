"""ResNet-18 and ResNet-34, static and dual-gated (He et al. 2016, table 1; DGNet, Li et al. 2021, section 4.1)."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.residual.network import ResidualNetwork, Stage
from gatewright.models.gates.kinds import Gating

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of each stage, by depth."""

STAGES = ((64, 1, 8), (128, 2, 4), (256, 2, 2), (512, 2, 1))
"""Per stage: channels, stride of its first block, tile edge: at 224 pixels every stage has 7x7 tiles."""

WHOLE_TILES = 32
"""Of a multiple of this many pixels every map of a stage is whole tiles: 4 from the stem times tiles of 8."""


class ResNetImageNet(ResidualNetwork):
    """ResNet-18 or ResNet-34 with 1x1-convolution shortcuts where a stage begins with a stride.

    ``size`` of a network with spatial gates is a multiple of 32: the public release counts the pixels of cut tiles in
    another way here than for CIFAR, and the machine has none.
    """

    def __init__(self, depth: int, gating: Gating = "none", classes: int = 1000, size: int = 224) -> None:
        if depth not in BLOCKS:
            raise GatewrightError(f"there is no ImageNet ResNet-{depth} here; depths are {', '.join(map(str, BLOCKS))}")
        if gating in ("dual", "spatial") and size % WHOLE_TILES:
            raise GatewrightError(
                f"a ResNet-{depth} with spatial gates for images of {size} pixels would cut its tiles; take a "
                f"multiple of {WHOLE_TILES}"
            )
        stages = [
            Stage(channels, stride, tile, blocks)
            for (channels, stride, tile), blocks in zip(STAGES, BLOCKS[depth], strict=True)
        ]
        stem = nn.Conv2d(3, STAGES[0][0], 7, stride=2, padding=3, bias=False)
        super().__init__(depth, gating, classes, size, stem, math.ceil(math.ceil(size / 2) / 2), stages)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def stem(self, x: Tensor) -> Tensor:
        """A 7x7 convolution and a 3x3 max pool, either of stride 2."""
        return self.maxpool(F.relu(self.bn1(self.conv1(x))))
