"""Small networks with dilated kernels and pyramid pooling."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from gatewright.models.families.pspnet import PSPNet
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import DilatedNetwork, lively
from tests.end_to_end.networks import Case, case_of

SIZE, CLASSES = 24, 5
WIDE_SIZE = 48


class WideDilation(nn.Module):
    """Two residual blocks of kernels that reach over most of the map, the first with a convolution as its shortcut."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, 2, 1)
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=4, dilation=4) for _ in range(4))
        self.shortcut = nn.Conv2d(channels, channels, 1)
        self.last = nn.Conv2d(channels, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Of images [N, 3, H, W] a map [N, 5, H / 2, W / 2]."""
        x = torch.relu(self.stem(x))
        x = torch.relu(self.shortcut(x) + self.convs[1](torch.relu(self.convs[0](x))))
        x = torch.relu(x + self.convs[3](torch.relu(self.convs[2](x))))
        last: Tensor = self.last(x)
        return last


@cache
def wide_case() -> Case:
    """``WideDilation`` in integers."""
    torch.manual_seed(1)
    return case_of(lively(WideDilation(), 3), WIDE_SIZE)


def pspnet(kind: str, gating: Gating, channels: int, width: int = 12) -> nn.Module:
    """A PSPNet on a small dilated network of ``kind`` (basic or bottleneck) blocks."""
    torch.manual_seed(1)
    backbone: DilatedNetwork[BasicBlock] | DilatedNetwork[Bottleneck]
    if kind == "basic":
        backbone = DilatedNetwork(gating, SIZE, channels, 2, BasicBlock)
    else:
        backbone = DilatedNetwork(gating, SIZE, channels, 2, Bottleneck)
    return lively(PSPNet(backbone, CLASSES, width), 3)


@cache
def pspnet_case(kind: str, gating: Gating, channels: int, width: int = 12) -> Case:
    """The same in integers."""
    return case_of(pspnet(kind, gating, channels, width), SIZE)
