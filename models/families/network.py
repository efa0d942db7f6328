"""What networks of all families have in common: stem, blocks, head; and what they multiply."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import AnyGate, Block, BlockMasks
from gatewright.models.gates.kinds import Gating


class Network(nn.Module, ABC):
    """A classifier of images.

    ``depth`` are its layers as its name counts them, ``gating`` which gates its blocks have, ``classes`` the number of
    classes, ``size`` the edge of the input image (the head pools whatever is left).
    """

    def __init__(self, depth: int, gating: Gating, classes: int, size: int) -> None:
        super().__init__()
        self.depth, self.gating, self.classes, self.size = depth, gating, classes, size

    @abstractmethod
    def stem(self, x: Tensor) -> Tensor:
        """What the first block reads, of normalised images x [N, 3, size, size]."""

    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """What lies between stem and head, in order of execution; each reads what the one before it returns."""

    @abstractmethod
    def head(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of what the last block returns."""

    @abstractmethod
    def stem_macs(self) -> int:
        """MACs of the stem."""

    @abstractmethod
    def head_macs(self) -> int:
        """MACs of the head."""

    def main_blocks(self) -> tuple[int, ...]:
        """The positions in ``blocks`` behind which a main part of the network ends, the last left out."""
        raise GatewrightError(f"a {type(self).__name__} has no main blocks here, behind which early exits could be")

    def ungated_macs(self) -> int:
        """MACs outside the blocks: those of stem and head."""
        return self.stem_macs() + self.head_macs()

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
        return self.head(x), masks

    def answers_and_masks(self, x: Tensor) -> tuple[list[Tensor], list[BlockMasks]]:
        """All that a training judges: what the network answers, [N, classes] each, and its decisions."""
        logits, masks = self.forward_with_masks(x)
        return [logits], masks

    def dense_macs(self) -> int:
        """MACs of convolutions and classifier without gates."""
        return self.ungated_macs() + sum(block.dense_macs() for block in self.blocks())

    def gated_macs(self, masks: list[BlockMasks]) -> Tensor:
        """MACs per sample [N] (one number without gates), gates' own and ungated layers included."""
        fixed = self.ungated_macs() + sum(block.gate_macs() for block in self.blocks())
        of_blocks = [block.gated_macs(decided) for block, decided in zip(self.blocks(), masks, strict=True)]
        return fixed + torch.stack(torch.broadcast_tensors(*of_blocks)).sum(0)

    def initialise(self) -> None:
        """Draw the convolutions' weights (He et al. 2015, by what a weight has a part in), and open all gates."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                height, width = module.kernel_size
                fan_out = height * width * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        for module in self.modules():
            if isinstance(module, AnyGate):
                module.reset_gate()
