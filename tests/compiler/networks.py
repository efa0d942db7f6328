"""Small networks with lively statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.families.block import halved
from gatewright.models.families.densenet.layers import DenseLayer, Transition
from gatewright.models.families.mobilenet_v2.inverted_residual import InvertedResidual, convolution
from gatewright.models.families.network import Network
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.residual.network import AnyBlock, ResidualNetwork, Stage
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.gates.kinds import Gating


def lively(network: nn.Module, seed: int) -> nn.Module:
    """Random batch norms, and gate biases near zero, so that masks hold zeros and ones."""
    generator = torch.Generator().manual_seed(seed)

    def random(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
            elif "atten" in name and name.endswith("bias"):
                parameter.copy_(random(parameter, -0.1, 0.1))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.copy_(random(module.weight, 0.5, 1.2))
                module.bias.copy_(random(module.bias, -0.3, 0.3))
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.copy_(random(module.running_mean, -0.3, 0.3))
                module.running_var.copy_(random(module.running_var, 0.5, 2.0))
    return network.eval()


def lively_resnet(gating: Gating, size: int = 16, seed: int = 1, uniform_tile: int | None = None) -> ResNetCifar:
    """A ResNet-8 whose gates decide both ways."""
    network = lively(ResNetCifar(8, gating, size=size, uniform_tile=uniform_tile), seed)
    assert isinstance(network, ResNetCifar)
    return network


class SmallBottleneck(ResidualNetwork[Bottleneck]):
    """Bottleneck blocks behind a 3x3 convolution: one, and two of which the first has stride 2."""

    def __init__(self, gating: Gating, size: int, channels: int, tile: int) -> None:
        stages = [Stage(channels, 1, 4, 1), Stage(2 * channels, 2, tile, 2)]
        stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        super().__init__(11, gating, 10, size, stem, size, stages, Bottleneck)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)))


def lively_bottleneck(
    gating: Gating, size: int = 16, seed: int = 1, channels: int = 8, tile: int = 2
) -> SmallBottleneck:
    """A network of bottleneck blocks whose gates decide both ways; ``tile``: of the blocks behind a stride."""
    network = lively(SmallBottleneck(gating, size, channels, tile), seed)
    assert isinstance(network, SmallBottleneck)
    return network


class SmallImageNet(ResidualNetwork[AnyBlock]):
    """Three stages of blocks behind a 7x7 convolution and a max pool, either of stride 2, as for ImageNet.

    ``tile``: of the first stage, of a map a quarter of ``size``; the others' are half and a quarter of it.
    """

    def __init__(self, gating: Gating, size: int, channels: int, tile: int, block: type[AnyBlock]) -> None:
        stages = [Stage(channels << n, min(n, 1) + 1, tile >> n, 2 - min(n, 1)) for n in range(3)]
        stem = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        super().__init__(10, gating, 10, size, stem, halved(halved(size, 2), 2), stages, block)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def stem(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return pooled


def lively_imagenet(
    gating: Gating,
    size: int = 64,
    channels: int = 8,
    tile: int = 4,
    block: type[BasicBlock | Bottleneck] = BasicBlock,
    seed: int = 1,
) -> SmallImageNet[Any]:
    """A network with a max pool whose gates decide both ways."""
    network = lively(SmallImageNet(gating, size, channels, tile, block), seed)
    assert isinstance(network, SmallImageNet)
    return network


def random_images(count: int, size: int = 16, seed: int = 2) -> npt.NDArray[np.uint8]:
    """Smooth random pictures [count, size, size, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 4, size // 4, 3))
    blocks = coarse.repeat(4, 1).repeat(4, 2)
    images: npt.NDArray[np.uint8] = np.clip(blocks + rng.integers(-30, 31, blocks.shape), 0, 255).astype(np.uint8)
    return images


class SmallMobileNet(Network):
    """Inverted residuals behind a 3x3 convolution of stride 2: with and without expansion, with stride, and two gated.

    Channels are few; the last tile of a block's grid is cut by a map that is no whole number of tiles. ``last``
    channels are averaged for the classifier.
    """

    def __init__(self, gating: Gating, size: int, channels: int, tile: int, last: int, classes: int) -> None:
        super().__init__(18, gating, classes, size)
        edge = halved(size, 2)
        shapes = ((12, 1, 1), (channels, 2, 4), (channels, 1, 4), (channels, 1, 4), (channels + 8, 1, 3))
        features: list[nn.Module] = [convolution(3, 8, 3, stride=2)]
        before = 8
        for after, stride, expansion in shapes:
            features.append(InvertedResidual(before, after, edge, edge, stride, expansion, tile, gating))
            edge, before = halved(edge, stride), after
        self.features = nn.Sequential(*features, convolution(before, last, 1))
        self.classifier = nn.Linear(last, classes)

    def blocks(self) -> Sequence[InvertedResidual]:
        return [block for block in self.features if isinstance(block, InvertedResidual)]

    def stem(self, x: Tensor) -> Tensor:
        stem: Tensor = self.features[0](x)
        return stem

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features[-1](x).mean((2, 3)))
        return logits

    def stem_macs(self) -> int:
        return halved(self.size, 2) ** 2 * 27 * 8

    def head_macs(self) -> int:
        last = self.features[-2]
        assert isinstance(last, InvertedResidual)
        filters = self.classifier.in_features
        return last.height * last.width * last.out_channels * filters + filters * self.classifier.out_features


def lively_mobilenet(
    gating: Gating,
    size: int = 28,
    seed: int = 1,
    channels: int = 16,
    tile: int = 2,
    last: int = 40,
    classes: int = 10,
) -> SmallMobileNet:
    """A network of inverted residuals whose gates decide both ways; at 28 pixels with 4x4 grids over maps of 7x7."""
    network = lively(SmallMobileNet(gating, size, channels, tile, last, classes), seed)
    assert isinstance(network, SmallMobileNet)
    return network


class GroupedNetwork(nn.Module):
    """A 1x1 convolution to 32 channels, a 3x3 one of so many groups and stride 2 to 64, a 1x1 one and a classifier."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.narrow, self.first = nn.Conv2d(3, 32, 1, bias=False), nn.BatchNorm2d(32)
        self.grouped, self.second = nn.Conv2d(32, 64, 3, 2, 1, groups=groups, bias=False), nn.BatchNorm2d(64)
        self.wide, self.fc = nn.Conv2d(64, 20, 1), nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.first(self.narrow(x)))
        x = F.relu(self.second(self.grouped(x)))
        logits: Tensor = self.fc(F.relu(self.wide(x)).mean((2, 3)))
        return logits


class SmallDenseNet(nn.Module):
    """Two dense blocks of so many layers with a transition between them; ``pooled``: behind a 7x7 convolution and a max
    pool, as for ImageNet, else behind a 3x3 convolution."""

    def __init__(
        self, size: int, layers: tuple[int, int], growth: int, first: int, pooled: bool, gating: Gating
    ) -> None:
        super().__init__()
        self.pooled = pooled
        edge = halved(halved(size, 2), 2) if pooled else size
        self.conv0 = nn.Conv2d(3, first, 7, 2, 3, bias=False) if pooled else nn.Conv2d(3, first, 3, 1, 1, bias=False)
        self.norm0, channels, parts = nn.BatchNorm2d(first), first, list[nn.Module]()
        for number, count in enumerate(layers):
            for _ in range(count):
                parts.append(DenseLayer(channels, growth, edge, edge, gating))
                channels += growth
            if number == 0:
                parts.append(Transition(channels, edge, edge))
                channels, edge = channels // 2, edge // 2
        self.parts, self.norm5, self.fc = nn.ModuleList(parts), nn.BatchNorm2d(channels), nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm0(self.conv0(x)))
        x = F.max_pool2d(x, 3, 2, 1) if self.pooled else x
        for part in self.parts:
            x, _ = part(x)
        logits: Tensor = self.fc(F.relu(self.norm5(x)).mean((2, 3)))
        return logits


def lively_densenet(
    size: int = 32,
    layers: tuple[int, int] = (3, 2),
    growth: int = 5,
    first: int = 12,
    pooled: bool = True,
    seed: int = 1,
    gating: Gating = "none",
) -> SmallDenseNet:
    """A DenseNet whose channels are no whole number of blocks of the array."""
    network = lively(SmallDenseNet(size, layers, growth, first, pooled, gating), seed)
    assert isinstance(network, SmallDenseNet)
    return network


class DilatedNetwork(ResidualNetwork[AnyBlock]):
    """A residual network whose last two stages are dilated, by 2 and by 4."""

    def __init__(self, gating: Gating, size: int, channels: int, tile: int, block: type[AnyBlock]) -> None:
        stages = [
            Stage(channels, 1, 4, 1),
            Stage(2 * channels, 2, tile, 1, dilation=2),
            Stage(2 * channels, 1, tile, 1, dilation=4),
        ]
        stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        super().__init__(8, gating, 10, size, stem, size, stages, block)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)))


def lively_dilated(gating: Gating, size: int, channels: int, tile: int, block: type[AnyBlock]) -> nn.Module:
    """A network of dilated blocks whose gates decide both ways."""
    return lively(DilatedNetwork(gating, size, channels, tile, block), 3)
