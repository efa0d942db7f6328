"""A residual network around its blocks: stem, stages, global average, classifier; and what it multiplies."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gatewright.models.families.residual.basic_block import BasicBlock, BlockMasks
from gatewright.models.gates.dgnet import ChannelGate, SpatialGate
from gatewright.models.gates.kinds import Gating


@dataclass(frozen=True)
class Stage:
    """A row of blocks of one width: ``stride`` is its first block's, ``tile`` the edge of a tile in output pixels."""

    channels: int
    stride: int
    tile: int
    blocks: int


class ResidualNetwork(nn.Module, ABC):
    """What the families' networks have in common; a family's class adds its stem.

    Parameters
    ----------
    depth, gating
        Layers as the network's name counts them; which gates every block has.
    classes, size
        Number of classes; edge of the input image (the head pools whatever is left).
    stem
        The first convolution, without a bias.
    edge
        Edge of the map that the first stage reads.
    stages
        In order of execution.
    """

    def __init__(
        self, depth: int, gating: Gating, classes: int, size: int, stem: nn.Conv2d, edge: int, stages: Sequence[Stage]
    ) -> None:
        super().__init__()
        self.depth, self.gating, self.classes, self.size = depth, gating, classes, size
        self.conv1 = stem
        channels = stem.out_channels
        self.bn1 = nn.BatchNorm2d(channels)
        for number, stage in enumerate(stages, start=1):
            blocks = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                edge = math.ceil(edge / stride)
                blocks.append(BasicBlock(channels, stage.channels, edge, edge, stride, stage.tile, gating))
                channels = stage.channels
            setattr(self, f"layer{number}", nn.ModuleList(blocks))
        self.stages = len(stages)
        self.fc = nn.Linear(channels, classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        for module in self.modules():
            if isinstance(module, SpatialGate | ChannelGate):
                module.reset_gate()

    def blocks(self) -> list[BasicBlock]:
        """The residual blocks, in order of execution."""
        return [block for number in range(1, self.stages + 1) for block in getattr(self, f"layer{number}")]

    @abstractmethod
    def stem(self, x: Tensor) -> Tensor:
        """What the first stage reads, of normalised images x [N, 3, size, size]."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N, classes] of normalised images x [N, 3, size, size]."""
        return self.forward_with_masks(x)[0]

    def forward_with_masks(self, x: Tensor) -> tuple[Tensor, list[BlockMasks]]:
        """As ``forward``, with the decisions of every block."""
        x = self.stem(x)
        masks = []
        for block in self.blocks():
            x, decided = block(x)
            masks.append(decided)
        return self.fc(x.mean((2, 3))), masks

    def ungated_macs(self) -> int:
        """MACs outside the residual blocks: the stem and the classifier."""
        stem = math.ceil(self.size / self.conv1.stride[0]) ** 2 * self.conv1.weight.numel()
        return stem + self.fc.in_features * self.classes

    def dense_macs(self) -> int:
        """MACs of convolutions and classifier without gates, as the public release counts them."""
        return self.ungated_macs() + sum(block.dense_macs() for block in self.blocks())

    def gated_macs(self, masks: list[BlockMasks]) -> Tensor:
        """MACs per sample [N], gates' own and ungated layers included."""
        fixed = self.ungated_macs() + sum(block.gate_macs() for block in self.blocks())
        return fixed + torch.stack([b.gated_macs(m) for b, m in zip(self.blocks(), masks, strict=True)]).sum(0)
