"""MobileNetV2 of width 1.0, static and dual-gated (Sandler et al. 2018, table 2; DGNet, Li et al. 2021, part 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import halved
from gatewright.models.families.mobilenet_v2.inverted_residual import InvertedResidual, convolution
from gatewright.models.families.network import Network
from gatewright.models.gates.kinds import Gating

DEPTH = 53
"""Convolutions and classifier: the one depth that there is."""

FIRST, LAST = 32, 1280
"""Channels of the first and of the last convolution."""


@dataclass(frozen=True)
class Stage:
    """A row of blocks: ``stride`` is its first block's, ``tile`` the edge of a tile in pixels."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    tile: int


STAGES = (
    Stage(1, 16, 1, 1, 16),
    Stage(6, 24, 2, 2, 8),
    Stage(6, 32, 3, 2, 4),
    Stage(6, 64, 4, 2, 2),
    Stage(6, 96, 3, 1, 2),
    Stage(6, 160, 3, 2, 2),
    Stage(6, 320, 1, 1, 2),
)
"""At 224 pixels the stages have 7x7 tiles, the last two 4x4 over a map of 7x7 pixels. The first and the last stage
have no block with gates."""


class MobileNetV2(Network):
    """MobileNetV2 1.0. Of its 17 blocks the ten that add their input have the gates."""

    def __init__(self, depth: int = DEPTH, gating: Gating = "none", classes: int = 1000, size: int = 224) -> None:
        if depth != DEPTH:
            raise GatewrightError(f"there is no MobileNetV2 of {depth} layers here; it has {DEPTH}")
        if gating in ("bas", "aig", "skip", "ddi"):
            raise GatewrightError(f"a MobileNetV2 has DGNet's gates here, no {gating.upper()} gates; take 'channel'")
        super().__init__(depth, gating, classes, size)
        edge, channels = halved(size, 2), FIRST
        features: list[nn.Module] = [convolution(3, FIRST, 3, stride=2)]
        for stage in STAGES:
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                features.append(
                    InvertedResidual(channels, stage.channels, edge, edge, stride, stage.expansion, stage.tile, gating)
                )
                edge, channels = halved(edge, stride), stage.channels
        features.append(convolution(channels, LAST, 1))
        self.last_pixels = edge * edge
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(LAST, classes))
        self.initialise()

    def blocks(self) -> Sequence[InvertedResidual]:
        """The inverted residuals, in order of execution."""
        return [block for block in self.features if isinstance(block, InvertedResidual)]

    def stem(self, x: Tensor) -> Tensor:
        """A 3x3 convolution of stride 2."""
        stem: Tensor = self.features[0](x)
        return stem

    def head(self, x: Tensor) -> Tensor:
        """A 1x1 convolution, and logits [N, classes] of its global average."""
        logits: Tensor = self.classifier(self.features[-1](x).mean((2, 3)))
        return logits

    def stem_macs(self) -> int:
        """MACs of the first convolution."""
        return halved(self.size, 2) ** 2 * 27 * FIRST

    def head_macs(self) -> int:
        """MACs of the last convolution and of the classifier."""
        return self.last_pixels * STAGES[-1].channels * LAST + LAST * self.classes
