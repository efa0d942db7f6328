"""Small networks with lively statistics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.residual.network import ResidualNetwork, Stage
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


def lively_resnet(gating: Gating, size: int = 16, seed: int = 1) -> ResNetCifar:
    """A ResNet-8 whose gates decide both ways."""
    network = lively(ResNetCifar(8, gating, size=size), seed)
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


def random_images(count: int, size: int = 16, seed: int = 2) -> npt.NDArray[np.uint8]:
    """Smooth random pictures [count, size, size, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 4, size // 4, 3))
    blocks = coarse.repeat(4, 1).repeat(4, 2)
    images: npt.NDArray[np.uint8] = np.clip(blocks + rng.integers(-30, 31, blocks.shape), 0, 255).astype(np.uint8)
    return images
