"""Capture: the graph computes what the network does, and what it cannot read it refuses clearly."""

from __future__ import annotations

from collections.abc import Callable

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
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.errors import GatewrightError
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


def _net(body: Callable[..., Tensor], **modules: nn.Module) -> nn.Module:
    """Stem, some body between, and a head."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)
            for name, module in modules.items():
                setattr(self, name, module)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(body(self, self.stem(x)).mean((2, 3)))
            return logits

    return Net()


def _grid_conv(kernel: int) -> nn.Module:
    """Logits of a spatial gate."""
    return nn.Conv2d(8, 1, kernel, padding=kernel // 2)


REFUSED = {
    "sigmoid": (_net(lambda s, x: s.act(x), act=nn.Sigmoid()), "act: sigmoid.*supported are 2-D convolution"),
    "wide max pool": (
        _net(lambda s, x: s.shrink(x), shrink=nn.MaxPool2d(5, 2)),
        "shrink: max_pool2d: a max pool of 5x5 pixels with stride 2 and padding 0; supported are windows of 2 or 3",
    ),
    "max pool of stride 3": (
        _net(lambda s, x: F.max_pool2d(x, 3)),
        "3x3 pixels with stride 3.*stride 2, padding 0 or 1",
    ),
    "max pool of stride 1": (_net(lambda s, x: F.max_pool2d(x, 3, 1, 1)), "3x3 pixels with stride 1 and padding 1"),
    "max pool of uneven windows": (_net(lambda s, x: F.max_pool2d(x, (2, 3), 2)), r"kernel_size = \[2, 3\]"),
    "max pool of uneven strides": (_net(lambda s, x: F.max_pool2d(x, 2, (2, 1))), r"max_pool2d: stride = \[2, 1\]"),
    "max pool of uneven padding": (_net(lambda s, x: F.max_pool2d(x, 3, 2, (1, 0))), r"padding = \[1, 0\]"),
    "dilated max pool": (_net(lambda s, x: F.max_pool2d(x, 3, 2, 1, 2)), r"max pool with dilation = \[2, 2\]"),
    "max pool of cut windows": (_net(lambda s, x: F.max_pool2d(x, 3, 2, ceil_mode=True)), "ceil_mode=True"),
    "max pool with indices": (
        _net(lambda s, x: F.max_pool2d(x, 2, return_indices=True)[0]),
        "max_pool2d_with_indices.*not supported",
    ),
    "relu after the max pool": (
        _net(lambda s, x: F.relu(F.max_pool2d(x, 2))),
        r"ReLU of the feature map stem\.max_pool; it must follow a",
    ),
    "groups of a map with two readers": (
        _net(lambda s, x: F.relu(s.c(x)) + s.mix(x), c=nn.Conv2d(8, 8, 1), mix=nn.Conv2d(8, 8, 3, 1, 1, groups=8)),
        "mix: it has 8 groups, and c reads its input stem, too",
    ),
    "groups of a gate": (
        _net(
            lambda s, x: s.c(x) * (s.g(F.avg_pool2d(x, 16)) >= 0), c=nn.Conv2d(8, 8, 1), g=nn.Conv2d(8, 8, 1, groups=8)
        ),
        "g: conv2d: groups = 8 on the average-pooled map",
    ),
    "a largest value after a residual": (
        _net(lambda s, x: F.relu6(s.c(x) + x), c=nn.Conv2d(8, 8, 1)),
        "relu6: an activation with a largest value after a residual",
    ),
    "a clamp from below 0": (_net(lambda s, x: F.hardtanh(s.c(x)), c=nn.Conv2d(8, 8, 1)), "a clamp to -1.0 and 1.0"),
    "dilation": (
        _net(lambda s, x: s.wide(x), wide=nn.Conv2d(8, 8, 3, padding=16, dilation=16)),
        "wide: conv2d: dilation = 16 is not supported, use 1 to 15",
    ),
    "stride": (_net(lambda s, x: s.thin(x), thin=nn.Conv2d(8, 8, 3, stride=(1, 2))), r"thin.*stride = \[1, 2\]"),
    "relu shared": (_net(lambda s, x: s.c(F.relu(x)) + x, c=nn.Conv2d(8, 8, 1)), "stem.*used here and also elsewhere"),
    "constant": (_net(lambda s, x: x + 1.0), "the number 1.0"),
    "scaled residual": (_net(lambda s, x: torch.add(s.c(x), x, alpha=2), c=nn.Conv2d(8, 8, 1)), "alpha = 2"),
    "attention": (_net(lambda s, x: x * s.c(x), c=nn.Conv2d(8, 8, 1)), "only a convolution's output times a gate's"),
    "mask after residual": (
        _net(lambda s, x: (s.c(x) + x) * (s.g(F.avg_pool2d(x, 1)) >= 0), c=nn.Conv2d(8, 8, 1), g=_grid_conv(3)),
        r"it reads the output of convolution c times a gate's mask, where only a feature map is",
    ),
    "masks that are not opposite": (
        _net(
            lambda s, x: (
                (s.c(x) + x) * (s.g(F.avg_pool2d(x, 1)) >= 0) + x * (1 - (s.g(F.avg_pool2d(x, 1)) > 0).float())
            ),
            c=nn.Conv2d(8, 8, 1),
            g=_grid_conv(3),
        ),
        r"and the masks are not m and 1 - m; supported is m \* f \+ \(1 - m\) \* x, where f is x plus",
    ),
    "the other map is not its residual": (
        _net(
            lambda s, x: (lambda m, y: (s.c(x) + x) * m + (1 - m) * y)(
                (s.g(F.avg_pool2d(x, 1)) >= 0).float(), F.max_pool2d(s.d(x), 2)
            ),
            c=nn.Conv2d(8, 8, 1),
            d=nn.Conv2d(8, 8, 3, 1, 9),
            g=_grid_conv(3),
        ),
        "of which neither is added to make the other",
    ),
    "gate kernel": (
        _net(lambda s, x: s.c(x) * (s.g(F.avg_pool2d(x, 4)) >= 0), c=nn.Conv2d(8, 8, 4, 4), g=_grid_conv(5)),
        "g: conv2d.*5x5 convolution.*supported are 3x3",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused_by_name(case: str) -> None:
    network, message = REFUSED[case]
    with pytest.raises(GatewrightError, match=message):
        capture(network, (3, 16, 16))


def test_overlapping_bins_that_no_window_averages_are_refused() -> None:
    # 5 bins over 7 pixels have 2, 2, 3, 2 and 2 of them.
    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.c, self.fc = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3), nn.Linear(8, 2)
            self.gate = nn.Conv2d(8, 1, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.stem(x))
            mask = (self.gate(F.adaptive_avg_pool2d(x, 5)) >= 0).float()
            logits: Tensor = self.fc((self.c(x) * mask).mean((2, 3)))
            return logits

    with pytest.raises(GatewrightError, match=r"gate: it averages stem \(7x7\) over 5x5 bins; where bins overlap"):
        capture(Uneven(), (3, 7, 7))


def test_results_that_are_no_map_of_the_network_are_refused() -> None:
    class Both(nn.Module):
        def __init__(self, other: object) -> None:
            super().__init__()
            self.network, self.other = ResNetCifar(8, "none", size=8), other

        def forward(self, x: Tensor) -> tuple[Tensor, object]:
            return self.network(x), x if self.other is None else self.other

    with pytest.raises(GatewrightError, match="result 1 of the network: it is the image; a result is a feature map"):
        capture(Both(None), (3, 8, 8))
    with pytest.raises(GatewrightError, match="returns 2 values.*not all are tensors.*wrap it"):
        capture(Both(3), (3, 8, 8))


def test_a_map_that_is_returned_twice_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> list[Tensor]:
            value = torch.relu(self.conv(x))
            return [value, value]

    with pytest.raises(GatewrightError, match="result 1 of the network: the feature map conv is returned twice"):
        capture(Twice(), (3, 8, 8))


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


@pytest.mark.parametrize("size", [13, 20])
def test_uneven_upsampling_is_refused(size: int) -> None:
    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.down = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            fine = self.first(x)
            return fine + F.interpolate(self.down(fine), size=(size, size))

    with pytest.raises(GatewrightError, match=f"upsampled to {size}x{size}; a map may be upsampled by 2 or 4 or 8"):
        capture(Uneven(), (3, size, size))


def test_a_network_that_cannot_be_exported_says_why() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(GatewrightError, match="cannot export Branching for a 3x8x8 image.*must not branch"):
        capture(Branching(), (3, 8, 8))


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


class _Normalised(nn.Module):
    """A network that normalises its images itself; ``raw`` reads them as they are, too."""

    def __init__(self, raw: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.std, self.raw = torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1), raw
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem((2 * (x - self.mean) / self.std + 1) * 0.5 - 0.5)
        y = F.relu(y + self.stem(x) if self.raw else y)
        logits: Tensor = self.head(y.mean((2, 3)))
        return logits


def test_normalisation_in_the_network_is_done_to_its_images() -> None:
    """Before the padding, which is 0 of what is normalised: it cannot be folded into the first filters."""
    network = lively(_Normalised(), 3)
    images = (random_images(6).transpose(0, 3, 1, 2) / 255).astype(np.float32)
    graph = capture(network, (3, 16, 16))
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run_float(graph, images).logits, expected, atol=1e-5)
    quantised = quantise(graph, calibrate(graph, images))
    by_hand = (images - np.float32([0.4, 0.5, 0.6])[:, None, None]) / np.float32([0.2, 0.3, 0.4])[:, None, None]
    wanted = np.rint(by_hand.transpose(0, 2, 3, 1) / quantised.input_scale).clip(-128, 127)
    assert np.abs(quantise_input(images, quantised) - wanted).max() <= 1  # a half may be rounded to either side
    assert np.abs(wanted).max() > 100


def test_an_image_that_is_read_in_two_ways_is_refused() -> None:
    with pytest.raises(GatewrightError, match=r"stem: conv2d: the image is read in two ways, normalised and not"):
        capture(_Normalised(raw=True), (3, 16, 16))
