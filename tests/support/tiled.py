"""A small network of bottleneck blocks behind a max pool, and a scratchpad that holds few of its maps."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.residual.network import ResidualNetwork, Stage
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively
from tests.end_to_end.networks import NETWORK_SEED, Case, case_of

SIZE = 48
STAGES = (Stage(48, 1, 4, 2), Stage(64, 2, 2, 1), Stage(32, 2, 1, 1))


class SmallPooledBottleneck(ResidualNetwork[Bottleneck]):
    """ResNet-50's stem on 48 pixels, and three stages: every map has 3x3 tiles."""

    def __init__(self, gating: Gating) -> None:
        stem = nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False)
        super().__init__(14, gating, 10, SIZE, stem, SIZE // 4, list(STAGES), Bottleneck)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def stem(self, x: Tensor) -> Tensor:
        return self.maxpool(F.relu(self.bn1(self.conv1(x))))


@cache
def pooled_case(gating: Gating) -> tuple[Case, ArchConfig]:
    """The network with random weights, and a machine on which streams, the pool's output and a block's map are cut."""
    network = lively(SmallPooledBottleneck(gating), NETWORK_SEED)
    return case_of(network, SIZE), replace(PRESETS["ultra96"], scratchpad_kib=13, weight_kib=24)
