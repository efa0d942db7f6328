"""Networks with a max pool: small ones, one for each of its surroundings, and a ResNet-18 for small images."""

from __future__ import annotations

from functools import cache

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import FloatGraph, QuantisedGraph
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.resnet_imagenet.network import ResNetImageNet
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively, random_images


class Pooled(nn.Module):
    """A convolution, a max pool of its ReLU (or of itself), a convolution, a head."""

    def __init__(self, window: int, padding: int, relu: bool, beyond: bool = False) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.pool = nn.MaxPool2d(window, 2, padding, ceil_mode=beyond)
        self.second, self.head = nn.Conv2d(6, 5, 3, padding=1), nn.Linear(5, 4)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x))
        x = self.pool(F.relu(x) if self.relu else x)
        logits: Tensor = self.head(F.relu(self.second(x)).mean((2, 3)))
        return logits


def made(network: nn.Module, size: int, count: int = 3) -> tuple[FloatGraph, QuantisedGraph, np.ndarray]:
    """The network's graphs, and normalised images."""
    images = CIFAR10.normalise(random_images(count, size + -size % 4)[:, :size, :size])
    graph = capture(network, (3, size, size))
    return graph, quantise(graph, calibrate(graph, images)), images


@cache
def resnet(gating: Gating) -> tuple[ResNetImageNet, QuantisedGraph]:
    """A ResNet-18 for images of 64 pixels."""
    network = lively(ResNetImageNet(18, gating, classes=5, size=64), 6)
    assert isinstance(network, ResNetImageNet)
    return network, made(network, 64)[1]


class Gated(nn.Module):
    """A max pool and a gated block on it: as a ResNet-18 begins."""

    def __init__(self, gating: Gating, relu: bool = True) -> None:
        super().__init__()
        self.relu = relu
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.block, self.head = BasicBlock(8, 8, 8, 8, 1, 4, gating), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x)) if self.relu else self.first(x)
        logits: Tensor = self.head(self.block(F.max_pool2d(x, 3, 2, 1))[0].mean((2, 3)))
        return logits


class Shared(nn.Module):
    """A max pool, with ``what`` else around it."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.stem, self.middle, self.head = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Linear(8, 4)
        self.gate, self.squeeze, self.excite = nn.Conv2d(8, 1, 3, 1, 1), nn.Linear(8, 2), nn.Linear(2, 8)

    def forward(self, images: Tensor) -> Tensor:
        if self.what == "image":
            images = F.max_pool2d(images, 2)
        x = F.relu(self.stem(images))
        if self.what == "twice":
            x = F.max_pool2d(F.max_pool2d(x, 2), 2)
        elif self.what == "channels":
            x = F.relu(self.middle(x) * (self.excite(F.relu(self.squeeze(x.mean((2, 3))))) >= 0)[:, :, None, None])
            x = F.max_pool2d(x, 2)
        elif self.what == "tiles":
            mask = (self.gate(F.adaptive_avg_pool2d(x, 4)) >= 0).float()
            x = F.max_pool2d(self.middle(x) * F.interpolate(mask, scale_factor=4, mode="nearest"), 2)
        elif self.what == "residual":
            x = F.max_pool2d(F.relu(self.middle(x) + x), 2)
        elif self.what == "looked at":
            gate = (self.excite(F.relu(self.squeeze(x.mean((2, 3))))) >= 0)[:, :, None, None]
            x = self.middle(F.max_pool2d(x, 2)) * gate
        logits: Tensor = self.head(F.relu(self.middle(x)).mean((2, 3)) if self.what == "image" else x.mean((2, 3)))
        return logits
