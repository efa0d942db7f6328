"""DenseNets for ImageNet (Huang et al. 2017, table 1). Module names follow torchvision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import Block, halved
from gatewright.models.families.densenet.layers import DenseLayer, Transition
from gatewright.models.families.network import Network
from gatewright.models.gates.kinds import Gating

LAYERS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
"""Layers of each dense block, by depth."""

FIRST, GROWTH = 64, 32
"""Channels of the first convolution, and those that a layer adds."""

SMALLEST = 32
"""Of fewer pixels' images the last map would be empty."""


class DenseNet(Network):
    """DenseNet-121, -169 or -201, static or with the channel gates of DDI in its dense layers."""

    def __init__(self, depth: int, gating: Gating = "none", classes: int = 1000, size: int = 224) -> None:
        if depth not in LAYERS:
            raise GatewrightError(f"there is no DenseNet-{depth} here; depths are {', '.join(map(str, LAYERS))}")
        if gating not in ("none", "ddi"):
            raise GatewrightError(f"a DenseNet here has the gates 'ddi' or none, and no gating {gating!r}; take 'ddi'")
        if size < SMALLEST:
            raise GatewrightError(f"images of {size} pixels are too small for a DenseNet; take {SMALLEST} or more")
        super().__init__(depth, gating, classes, size)
        features: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, FIRST, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(FIRST),
            relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        edge, channels, last = halved(halved(size, 2), 2), FIRST, len(LAYERS[depth])
        for number, layers in enumerate(LAYERS[depth], start=1):
            block: OrderedDict[str, nn.Module] = OrderedDict()
            for index in range(1, layers + 1):
                block[f"denselayer{index}"] = DenseLayer(channels, GROWTH, edge, edge, gating)
                channels += GROWTH
            features[f"denseblock{number}"] = nn.Sequential(block)
            if number < last:
                features[f"transition{number}"] = Transition(channels, edge, edge)
                edge, channels = edge // 2, channels // 2
        features["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(features)
        self.classifier = nn.Linear(channels, classes)
        self.initialise()

    def blocks(self) -> Sequence[Block]:
        """The dense layers, and the transitions between dense blocks, in order of execution."""
        return [part for part in self.features.modules() if isinstance(part, DenseLayer | Transition)]

    def stem(self, x: Tensor) -> Tensor:
        """A 7x7 convolution and a 3x3 max pool, either of stride 2."""
        for name in ("conv0", "norm0", "relu0", "pool0"):
            x = self.features.get_submodule(name)(x)
        return x

    def head(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of the global average of the last map's batch norm and ReLU."""
        logits: Tensor = self.classifier(F.relu(self.features.get_submodule("norm5")(x)).mean((2, 3)))
        return logits

    def main_blocks(self) -> tuple[int, ...]:
        """The last layer of each dense block but the last: in front of a transition."""
        return tuple(number - 1 for number, part in enumerate(self.blocks()) if isinstance(part, Transition))

    def stem_macs(self) -> int:
        """MACs of the first convolution."""
        return halved(self.size, 2) ** 2 * 147 * FIRST

    def head_macs(self) -> int:
        """MACs of the classifier."""
        return self.classifier.in_features * self.classes
