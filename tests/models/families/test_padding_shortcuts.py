"""Public static ResNets with padded shortcuts, against a module that is written as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.resnet_cifar import padding_shortcuts
from gatewright.models.families.spec import NetworkSpec

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.added = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x if not self.added else F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return F.relu(out + shortcut)


class _Public(nn.Module):
    """ResNet-8 with the names of the public files."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(_Block(16, 16, 1))
        self.layer2 = nn.Sequential(_Block(16, 32, 2))
        self.layer3 = nn.Sequential(_Block(32, 64, 2))
        self.linear = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
                nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return self.linear(x.mean((2, 3)))


def normalised(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def write(network: nn.Module, path: Path) -> Path:
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in network.state_dict().items()}}, path)
    return path


@pytest.fixture
def public() -> nn.Module:
    torch.manual_seed(5)
    return _Public().eval()


def test_logits_are_the_public_networks(tmp_path: Path, public: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal means, so that a padded zero means the same colour to both."""
    monkeypatch.setattr(padding_shortcuts, "IMAGENET_MEAN", CIFAR10.mean)
    network, spec = load_checkpoint(write(public, tmp_path / "resnet8.th"))
    assert spec == NetworkSpec(8)
    pixels = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        expected = public(normalised(pixels, CIFAR10.mean, IMAGENET[1]))
        torch.testing.assert_close(
            network(normalised(pixels, CIFAR10.mean, CIFAR10.std)), expected, rtol=1e-4, atol=1e-4
        )


def test_inside_the_border_the_means_are_equal_too(tmp_path: Path, public: nn.Module) -> None:
    network, _ = load_checkpoint(write(public, tmp_path / "resnet8.th"))
    pixels = torch.rand(4, 3, 32, 32)
    assert isinstance(public, _Public)
    with torch.no_grad():
        expected = public.stem(normalised(pixels, *IMAGENET))
        got = F.relu(network.bn1(network.conv1(normalised(pixels, CIFAR10.mean, CIFAR10.std))))
    torch.testing.assert_close(got[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], rtol=1e-4, atol=1e-4)


def test_a_file_without_a_classifier_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, tmp_path / "other.th")
    with pytest.raises(
        GatewrightError,
        match=r"other\.th holds no CIFAR ResNet and no .* and no ImageNet ResNet and no .* \(by the names",
    ):
        load_checkpoint(tmp_path / "other.th")
