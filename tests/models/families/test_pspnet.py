"""PSPNets: the shapes of the dilated backbones, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.pspnet import BINS, PSPNet, dilated_resnet
from gatewright.models.families.resnet_imagenet.network import BottleneckResNet


@pytest.mark.parametrize(("depth", "channels"), [(18, 512), (50, 2048)])
def test_the_last_map_has_an_eighth_of_the_images_pixels_in_either_direction(depth: int, channels: int) -> None:
    with torch.device("meta"):
        network = PSPNet(dilated_resnet(depth, size=240), classes=19)
        scores = network.eval()(torch.zeros(1, 3, 240, 240))
    assert scores.shape == (1, 19, 30, 30)
    assert network.conv.in_channels == 2 * channels and network.ppm.reduce[0].out_channels == channels // len(BINS)
    dilations = {
        name: conv.dilation[0]
        for name, conv in network.backbone.named_modules()
        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)
    }
    for stage, dilation in (("layer1", 1), ("layer2", 1), ("layer3", 2), ("layer4", 4)):
        assert {found for name, found in dilations.items() if name.startswith(stage)} == {dilation}


def test_weights_are_those_of_the_network_without_dilation() -> None:
    with torch.device("meta"):
        dilated, plain = dilated_resnet(50), BottleneckResNet(50)
    shapes = [{name: value.shape for name, value in network.state_dict().items()} for network in (dilated, plain)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("size", [96, 144, 192, 240])
def test_gates_tiles_are_whole_bins(size: int) -> None:
    with torch.device("meta"):
        network = dilated_resnet(18, "dual", size=size)
    for block in network.blocks()[2:]:
        assert block.height == size // 8 and (size // 8 // 6) % block.tile == 0


def test_other_sizes_are_refused() -> None:
    with pytest.raises(GatewrightError, match="a PSPNet for images of 224 pixels would have bins of several sizes"):
        dilated_resnet(18, size=224)
    with pytest.raises(GatewrightError, match="there is no ResNet-20 here; depths are 18, 34, 50, 101"):
        dilated_resnet(20)
    with (
        pytest.raises(GatewrightError, match="the last map has 7x7 pixels, which 6 bins do not divide"),
        torch.device("meta"),
    ):
        PSPNet(BottleneckResNet(50))
