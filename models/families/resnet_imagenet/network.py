"""ImageNet ResNets, static and gated (He et al. 2016, table 1; DGNet, Li et al. 2021, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import halved
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.residual.network import AnyBlock, ResidualNetwork, Stage
from gatewright.models.gates.kinds import Gating, has_small_tiles

Counts = tuple[int, int, int, int]

BASIC: dict[int, Counts] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of each stage, by depth, of networks of basic blocks."""

BOTTLENECK: dict[int, Counts] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""The same of networks of bottleneck blocks."""

KINDS = {"basic": BASIC, "bottleneck": BOTTLENECK}

STAGES = ((64, 1, 8), (128, 2, 4), (256, 2, 2), (512, 2, 1))
"""Per stage: channels, stride of its first block, tile edge: at 224 pixels every stage has 7x7 tiles."""

WHOLE_TILES = 32
"""Of a multiple of this many pixels every map of a stage is whole tiles: 4 from the stem times tiles of 8."""


class _ImageNet(ResidualNetwork[AnyBlock]):
    """Networks with 1x1-convolution shortcuts where a stage changes the map's size or channels.

    ``size`` of a network with spatial gates is a multiple of 32: the public release counts the pixels of cut tiles in
    another way here than for CIFAR, and the machine has none.
    """

    def __init__(
        self,
        depth: int,
        gating: Gating,
        classes: int,
        size: int,
        block: type[AnyBlock],
        counts: Mapping[int, Counts],
    ) -> None:
        if depth not in counts:
            known = (f"{', '.join(map(str, depths))} of {kind} blocks" for kind, depths in KINDS.items())
            raise GatewrightError(f"there is no such ImageNet ResNet-{depth} here; depths are {' and '.join(known)}")
        if has_small_tiles(gating) and size % WHOLE_TILES:
            raise GatewrightError(
                f"a ResNet-{depth} with spatial gates for images of {size} pixels would cut its tiles; take a "
                f"multiple of {WHOLE_TILES}"
            )
        stages = [
            Stage(channels, stride, tile, blocks)
            for (channels, stride, tile), blocks in zip(STAGES, counts[depth], strict=True)
        ]
        stem = nn.Conv2d(3, STAGES[0][0], 7, stride=2, padding=3, bias=False)
        super().__init__(depth, gating, classes, size, stem, halved(halved(size, 2), 2), stages, block)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def stem(self, x: Tensor) -> Tensor:
        """A 7x7 convolution and a 3x3 max pool, either of stride 2."""
        return self.maxpool(F.relu(self.bn1(self.conv1(x))))


class ResNetImageNet(_ImageNet[BasicBlock]):
    """ResNet-18 or ResNet-34."""

    def __init__(self, depth: int, gating: Gating = "none", classes: int = 1000, size: int = 224) -> None:
        super().__init__(depth, gating, classes, size, BasicBlock, BASIC)


class BottleneckResNet(_ImageNet[Bottleneck]):
    """ResNet-50 or ResNet-101, with the stride in the 3x3 convolution, as torchvision and the DGNet release have it."""

    def __init__(self, depth: int, gating: Gating = "none", classes: int = 1000, size: int = 224) -> None:
        super().__init__(depth, gating, classes, size, Bottleneck, BOTTLENECK)
