"""Capture: the graph computes what the network does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.kinds.channel_gate import FloatChannelGate
from gatewright.compiler.kinds.classifier import FloatClassifier
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.kinds.spatial_gate import FloatSpatialGate
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.resnet_imagenet.network import ResNetImageNet
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively, lively_resnet, random_images


@pytest.mark.parametrize("gating", ["dual", "spatial", "channel", "none"])
@pytest.mark.parametrize("size", [16, 32])
def test_graph_computes_the_network_and_its_decisions(gating: Gating, size: int) -> None:
    network = lively_resnet(gating, size)
    images = CIFAR10.normalise(random_images(6, size))
    result = run_float(capture(network, (3, size, size)), images)
    with torch.no_grad():
        logits, masks = network.forward_with_masks(torch.from_numpy(images))
    np.testing.assert_allclose(result.logits, logits.numpy(), atol=1e-4)
    expected = {}
    for number, mask in enumerate(masks, start=1):
        if mask.spatial is not None:
            expected[f"layer{number}.0.mask_s"] = mask.spatial[:, 0].numpy() > 0
        if mask.channel is not None:
            expected[f"layer{number}.0.mask_c"] = mask.channel[:, :, 0, 0].numpy() > 0
    assert result.decisions.keys() == expected.keys()
    for name, decisions in expected.items():
        np.testing.assert_array_equal(result.decisions[name], decisions, err_msg=name)
    if expected:
        everything = np.concatenate([d.ravel() for d in expected.values()])
        assert 0.1 < everything.mean() < 0.9, "the test needs gates that decide both ways"


def test_dual_block_has_gates_before_convolutions_and_masks_attached() -> None:
    graph = capture(ResNetCifar(8, "dual"))
    layers = {layer.name: layer for layer in graph.layers}
    names = list(layers)
    assert names[:2] == ["conv1", "layer1.0.mask_c"]
    assert max(names.index("layer2.0.mask_s"), names.index("layer2.0.mask_c")) < names.index("layer2.0.conv1")
    assert names.index("layer2.0.downsample.0") < names.index("layer2.0.conv2") and names[-1] == "fc"

    gate, channels = layers["layer3.0.mask_s"], layers["layer3.0.mask_c"]
    assert isinstance(gate, FloatSpatialGate) and isinstance(channels, FloatChannelGate)
    assert (gate.source, gate.grid, gate.weight.shape) == ("layer2.0.conv2", (4, 4), (1, 3, 3, 32))
    assert (channels.source, channels.hidden_weight.shape, channels.weight.shape) == (
        "layer2.0.conv2",
        (8, 32),
        (64, 8),
    )

    first, second, shortcut = (layers[f"layer2.0.{name}"] for name in ("conv1", "conv2", "downsample.0"))
    assert isinstance(first, FloatConv) and isinstance(second, FloatConv) and isinstance(shortcut, FloatConv)
    assert (first.stride, first.padding, first.relu, first.residual) == (2, 1, True, None)
    assert (first.output_channels, first.output_tiles) == ("layer2.0.mask_c", "layer2.0.mask_s")
    assert (first.input_channels, first.input_tiles) == (None, None)
    assert (second.source, second.residual, second.relu) == ("layer2.0.conv1", "layer2.0.downsample.0", True)
    assert (second.input_channels, second.input_tiles) == ("layer2.0.mask_c", "layer2.0.mask_s")
    assert (second.output_channels, second.output_tiles) == (None, "layer2.0.mask_s")
    assert (shortcut.stride, shortcut.padding, shortcut.relu) == (2, 0, False)
    assert {shortcut.output_channels, shortcut.output_tiles, shortcut.input_channels, shortcut.input_tiles} == {None}
    shape = graph.shapes["layer2.0.conv2"]
    assert (shape.channels, shape.height, shape.width) == (32, 16, 16)


class _LooseBlock(nn.Module):
    """The same mathematics written differently: nothing here is one of our gate classes."""

    def __init__(self) -> None:
        super().__init__()
        self.tile_atten = nn.Conv2d(8, 1, 3, padding=1)
        self.squeeze_atten, self.excite_atten = nn.Linear(8, 4), nn.Linear(4, 8)
        self.first, self.second = nn.Conv2d(8, 8, 3, padding="same"), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.up = nn.Upsample(scale_factor=4, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        tiles = self.up((self.tile_atten(F.avg_pool2d(x, 4)) >= 0).float())
        squeezed = self.act(self.squeeze_atten(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)))
        channels = (self.excite_atten(squeezed) >= 0).to(x.dtype).view(-1, 8, 1, 1)
        out = tiles * (channels * self.act(self.first(x)))
        out = tiles * self.norm(self.second(out))
        out += x
        result: Tensor = self.act(out)
        return result


class _LooseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 8, 3, 2, 1), _LooseBlock(), nn.Linear(8, 5)
        self.pool, self.drop = nn.AvgPool2d(8), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.block(F.relu(self.stem(x))))
        logits: Tensor = self.head(self.drop(x.view(x.size(0), -1)))
        return logits


def test_other_spellings_are_read_by_what_they_do() -> None:
    network = lively(_LooseNet(), 3)
    images = CIFAR10.normalise(random_images(5))
    graph = capture(network, (3, 16, 16))
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    result = run_float(graph, images)
    np.testing.assert_allclose(result.logits, expected, atol=1e-5)
    assert set(result.decisions) == {"block.tile_atten", "block.excite_atten"}
    second = next(layer for layer in graph.layers if layer.name == "block.second")
    assert isinstance(second, FloatConv) and isinstance(graph.layers[-1], FloatClassifier)
    assert (second.input_channels, second.output_tiles, second.residual) == (
        "block.excite_atten",
        "block.tile_atten",
        "stem",
    )


def test_a_module_that_runs_twice_becomes_two_layers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.same, self.fc = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.same(self.same(self.stem(x))).mean((2, 3)))
            return logits

    assert [layer.name for layer in capture(Twice(), (3, 4, 4)).layers] == ["stem", "same", "same#2", "fc"]


def test_capture_leaves_the_training_mode_alone() -> None:
    network = ResNetCifar(8, "none")
    network.train()
    network.bn1.eval()
    capture(network)
    assert network.training and network.conv1.training and not network.bn1.training


def test_several_results_and_their_order() -> None:
    """A map in the middle, logits, and a coarse map that is added to a finer one."""

    class Several(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.down = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 4, 1)
            self.lateral, self.fc = nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            fine = torch.relu(self.first(x))
            coarse = self.down(fine)
            total = torch.relu(self.lateral(fine) + F.interpolate(coarse, scale_factor=4.0))
            return {"logits": self.fc(total.mean((2, 3))), "coarse": coarse, "fine": fine}

    network = Several().eval()
    graph = capture(network, (3, 16, 16))
    images = np.random.default_rng(3).normal(size=(2, 3, 16, 16)).astype(np.float32)
    result = run_float(graph, images)
    with torch.no_grad():
        expected = network(torch.from_numpy(images))
    assert list(result.outputs) == ["first", "down", "fc"]  # as they are computed
    for name, of in {"first": "fine", "down": "coarse", "fc": "logits"}.items():
        np.testing.assert_allclose(result.outputs[name], expected[of].numpy(), atol=1e-4)
    lateral = next(layer for layer in graph.layers if layer.name == "lateral")
    assert isinstance(lateral, FloatConv) and (lateral.elsewhere, lateral.upsample) == (True, 2)


@pytest.mark.parametrize(("gating", "size"), [("none", 64), ("channel", 96), ("dual", 224)])
def test_imagenet_networks_are_computed(gating: Gating, size: int) -> None:
    network = lively(ResNetImageNet(18, gating, classes=3, size=size), 3)
    assert isinstance(network, ResNetImageNet)
    images = IMAGENET.normalise(random_images(1 if size == 224 else 3, size))
    graph = capture(network, (3, size, size))
    result = run_float(graph, images)
    with torch.no_grad():
        logits, masks = network.forward_with_masks(torch.from_numpy(images))
    np.testing.assert_allclose(result.logits, logits.numpy(), atol=1e-4)
    names = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    expected = {}
    for name, mask in zip(names, masks, strict=True):
        if mask.channel is not None:
            expected[f"{name}.mask_c"] = mask.channel[:, :, 0, 0].numpy() > 0
        if mask.spatial is not None:
            expected[f"{name}.mask_s"] = mask.spatial[:, 0].numpy() > 0
    assert result.decisions.keys() == expected.keys()
    for name, decisions in expected.items():
        np.testing.assert_array_equal(result.decisions[name], decisions, err_msg=name)
    assert [layer.name for layer in graph.layers][:2] == ["conv1", "conv1.max_pool"]
    if gating == "dual":
        block = ["mask_c", "mask_s", "conv1", "conv2"]
        assert [layer.name for layer in graph.layers][2:6] == [f"layer1.0.{name}" for name in block]
    residuals = {layer.name: layer.residual for layer in graph.layers if isinstance(layer, FloatConv)}
    assert residuals["layer1.0.conv2"] == "conv1.max_pool"
