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

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Per stage: channels, and stride of its first block."""

TILE = 8
"""The edge of a tile of the first stage; every other stage has half of the one before: 7x7 tiles at 224 pixels."""

STEM_STRIDE = 4
"""Pixels of an image, in either direction, for a pixel of the first stage."""


class _ImageNet(ResidualNetwork[AnyBlock]):
    """Networks with 1x1-convolution shortcuts where a stage changes the map's size or channels.

    ``size`` of a network with spatial gates is a multiple of 4 ``tile``: the public release counts the pixels of cut
    tiles in another way here than for CIFAR, and the machine has none. ``tile`` is the edge of those of the first
    stage, a multiple of 8; detectors have 16.
    """

    def __init__(
        self,
        depth: int,
        gating: Gating,
        classes: int,
        size: int,
        block: type[AnyBlock],
        counts: Mapping[int, Counts],
        tile: int,
    ) -> None:
        if depth not in counts:
            known = (f"{', '.join(map(str, depths))} of {kind} blocks" for kind, depths in KINDS.items())
            raise GatewrightError(f"there is no such ImageNet ResNet-{depth} here; depths are {' and '.join(known)}")
        if tile <= 0 or tile % TILE:
            raise GatewrightError(f"tiles of {tile} pixels cannot be halved in every stage; take a multiple of {TILE}")
        if has_small_tiles(gating) and size % (STEM_STRIDE * tile):
            raise GatewrightError(
                f"a ResNet-{depth} with spatial gates for images of {size} pixels would cut its tiles; take a "
                f"multiple of {STEM_STRIDE * tile}"
            )
        stages = [
            Stage(channels, stride, tile >> number, blocks)
            for number, ((channels, stride), blocks) in enumerate(zip(STAGES, counts[depth], strict=True))
        ]
        stem = nn.Conv2d(3, STAGES[0][0], 7, stride=2, padding=3, bias=False)
        super().__init__(depth, gating, classes, size, stem, halved(halved(size, 2), 2), stages, block)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def stem(self, x: Tensor) -> Tensor:
        """A 7x7 convolution and a 3x3 max pool, either of stride 2."""
        return self.maxpool(F.relu(self.bn1(self.conv1(x))))


class ResNetImageNet(_ImageNet[BasicBlock]):
    """ResNet-18 or ResNet-34."""

    def __init__(
        self, depth: int, gating: Gating = "none", classes: int = 1000, size: int = 224, tile: int = TILE
    ) -> None:
        super().__init__(depth, gating, classes, size, BasicBlock, BASIC, tile)


class BottleneckResNet(_ImageNet[Bottleneck]):
    """ResNet-50 or ResNet-101, with the stride in the 3x3 convolution, as torchvision and the DGNet release have it."""

    def __init__(
        self, depth: int, gating: Gating = "none", classes: int = 1000, size: int = 224, tile: int = TILE
    ) -> None:
        super().__init__(depth, gating, classes, size, Bottleneck, BOTTLENECK, tile)
