"""CIFAR ResNets, static and dual-gated (He et al. 2016; DGNet, Li et al. 2021, section 3.3)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.network import ResidualNetwork, Stage
from gatewright.models.gates.kinds import Gating

DEPTHS = (20, 32, 38, 56, 74, 110)
STAGES = ((16, 1, 4), (32, 2, 2), (64, 2, 2))
"""Per stage: channels, stride of its first block, tile edge (paper, section 4.1)."""


class ResNetCifar(ResidualNetwork[BasicBlock]):
    """ResNet-20/32/38/56/74/110 for square images, with 1x1 shortcuts; ``depth`` is 6n+2, see ``DEPTHS``.

    ``uniform_tile`` is the edge of the tiles in all stages; without it they have those of ``STAGES``, which the paper
    calls hybrid (section 4.4). In a map that is smaller a tile is the map.
    """

    def __init__(
        self,
        depth: int,
        gating: Gating = "none",
        classes: int = 10,
        size: int = 32,
        uniform_tile: int | None = None,
    ) -> None:
        if (depth - 2) % 6 or depth < 8:
            raise GatewrightError(f"ResNet depth {depth} is not 6n+2; use one of {DEPTHS}")
        stages = [Stage(channels, stride, uniform_tile or tile, (depth - 2) // 6) for channels, stride, tile in STAGES]
        stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        super().__init__(depth, gating, classes, size, stem, size, stages, BasicBlock)

    def stem(self, x: Tensor) -> Tensor:
        """A 3x3 convolution; the map keeps its size."""
        return F.relu(self.bn1(self.conv1(x)))
