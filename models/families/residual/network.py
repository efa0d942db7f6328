"""A residual network around its blocks: stem, stages, global average, classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

from torch import Tensor, nn

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import halved
from gatewright.models.families.network import Network
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.gates.kinds import Gating

AnyBlock = TypeVar("AnyBlock", bound=BasicBlock | Bottleneck)


@dataclass(frozen=True)
class Stage:
    """A row of blocks of one width: ``stride`` is its first block's, ``tile`` the edge of a tile in output pixels.

    ``dilation``: of the 3x3 convolutions of all its blocks.
    """

    channels: int
    stride: int
    tile: int
    blocks: int
    dilation: int = 1


def _gates_of(gating: Gating, stage: int, index: int) -> Gating:
    """The gates of a block of a network: ``stage`` counts from 1, ``index`` from 0."""
    if gating == "ddi":
        return "none" if index == 0 else "aig"
    return "none" if gating == "skip" and (stage, index) == (1, 0) else gating


class ResidualNetwork(Network, Generic[AnyBlock]):
    """What the families of residual networks have in common; a family's class adds its stem.

    Parameters
    ----------
    depth, gating, classes, size
        See ``Network``; every block has the gates, but for SkipNet's first, and DDI's first of each stage.
    stem
        The first convolution, without a bias.
    edge
        Edge of the map that the first stage reads.
    stages
        In order of execution.
    block
        The class of all blocks.
    """

    def __init__(
        self,
        depth: int,
        gating: Gating,
        classes: int,
        size: int,
        stem: nn.Conv2d,
        edge: int,
        stages: Sequence[Stage],
        block: type[AnyBlock],
    ) -> None:
        if gating == "ddi" and all(stage.blocks == 1 for stage in stages):
            raise GatewrightError(
                f"DDI keeps the first block of each stage, and a ResNet-{depth} has no others; take a deeper one"
            )
        super().__init__(depth, gating, classes, size)
        self.conv1 = stem
        channels = stem.out_channels
        self.bn1 = nn.BatchNorm2d(channels)
        for number, stage in enumerate(stages, start=1):
            blocks: list[AnyBlock] = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                gates = _gates_of(gating, number, index)
                geometry = channels, stage.channels, edge, edge, stride, stage.tile, gates, stage.dilation
                blocks.append(block(*geometry))
                edge, channels = halved(edge, stride), blocks[-1].out_channels
            setattr(self, f"layer{number}", nn.ModuleList(blocks))
        self.stages = len(stages)
        self.fc = nn.Linear(channels, classes)
        self.initialise()

    def blocks(self) -> list[AnyBlock]:
        """The residual blocks, in order of execution."""
        return [block for number in range(1, self.stages + 1) for block in getattr(self, f"layer{number}")]

    def head(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of a map's global average."""
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits

    def main_blocks(self) -> tuple[int, ...]:
        """The last block of each stage but the last."""
        counts = [len(getattr(self, f"layer{number}")) for number in range(1, self.stages)]
        return tuple(end - 1 for end in accumulate(counts))

    def stem_macs(self) -> int:
        """MACs of the first convolution."""
        return halved(self.size, self.conv1.stride[0]) ** 2 * self.conv1.weight.numel()

    def head_macs(self) -> int:
        """MACs of the classifier."""
        return self.fc.in_features * self.classes
