"""What capture makes of concatenations, of batch norms that no convolution takes in, and of averages between layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.graph import FloatGraph, TensorShape
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.contract.errors import GatewrightError
from tests.compiler.networks import lively, lively_densenet

SIZE = 16


class Net(nn.Module):
    """A stem of 8 channels, some body and a head."""

    def __init__(self, body: Callable[..., Tensor], channels: int, **modules: nn.Module) -> None:
        super().__init__()
        self.stem, self.head, self.body = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(channels, 4), body
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(self, F.relu(self.stem(x))).mean((2, 3)))
        return logits


class BehindTheImage(nn.Module):
    """A convolution's output behind the image."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv(3), conv(7), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.b(torch.cat((x, self.a(x)), 1)).mean((2, 3)))
        return logits


def conv(channels: int, filters: int = 4, kernel: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, filters, kernel, padding=kernel // 2)


def captured(body: Callable[..., Tensor], channels: int, **modules: nn.Module) -> FloatGraph:
    """The graph, which computes what the network does."""
    network = lively(Net(body, channels, **modules), 3)
    graph = capture(network, (3, SIZE, SIZE))
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = network(images).numpy()
    np.testing.assert_allclose(run_float(graph, images.numpy()).logits, expected, atol=1e-4)
    return graph


def layer(graph: FloatGraph, name: str) -> FloatConv:
    (found,) = (one for one in graph.layers if one.name == name)
    assert isinstance(found, FloatConv)
    return found


def test_each_part_is_put_behind_those_before_it() -> None:
    def lists(s: Net, x: Tensor) -> Tensor:
        parts = [x]
        for one in (s.a, s.b, s.c):
            parts.append(one(torch.cat(parts, 1)))
        return torch.cat(parts, 1)

    def pairs(s: Net, x: Tensor) -> Tensor:
        for one in (s.a, s.b, s.c):
            x = torch.cat((x, one(x)), 1)
        return x

    graphs = [captured(body, 20, a=conv(8), b=conv(12), c=conv(16)) for body in (lists, pairs)]
    for graph in graphs:
        assert [layer(graph, name).reads for name in "abc"] == [("stem", "stem"), ("a", "a"), ("b", "b")]
        assert [graph.shapes[name].channels for name in ("stem", "a", "b", "c")] == [8, 12, 16, 20]
        assert [layer(graph, name).appended_to for name in "abc"] == ["stem", "a", "b"]


def test_a_batch_norm_of_a_map_is_a_depthwise_convolution_of_a_pixel() -> None:
    graph = captured(
        lambda s, x: F.relu(s.c(F.relu(s.norm(torch.cat((x, s.a(x)), 1))))),
        6,
        a=conv(8),
        norm=nn.BatchNorm2d(12),
        c=conv(12, 6),
    )
    norm = layer(graph, "norm")
    assert norm.normalises and norm.relu and norm.groups == 12 and norm.source == "a"
    assert layer(graph, "c").source == "norm"


def test_averages_come_before_a_convolution_of_pixels() -> None:
    graph = captured(lambda s, x: s.c(F.avg_pool2d(s.a(x), 2)), 4, a=conv(8, 6), c=conv(6, 4))
    average = layer(graph, "stem.average_pool")
    assert average.averages and average.source == "stem" and graph.shapes["stem.average_pool"] == TensorShape(8, 8, 8)
    assert layer(graph, "a").source == "stem.average_pool" and graph.shapes["a"] == TensorShape(6, 8, 8)
    assert layer(graph, "c").source == "a"


@pytest.mark.parametrize(
    ("body", "channels"),
    [
        (lambda s, x: F.avg_pool2d(F.relu(s.a(x)), 4), 6),
        (lambda s, x: F.avg_pool2d(s.wide(x), 2), 6),
        (lambda s, x: F.avg_pool2d(s.a(x), 3), 6),
    ],
)
def test_other_averages_stay_where_they_are(body: Callable[..., Tensor], channels: int) -> None:
    graph = captured(lambda s, x: s.c(body(s, x)), 4, a=conv(8, 6), wide=conv(8, 6, 3), c=conv(channels, 4))
    names = [one.name for one in graph.layers]
    assert names[-2] == "c" and layer(graph, names[-3]).averages == (names[-3] != "a")


def test_a_densenets_graph() -> None:
    graph = capture(lively_densenet(32), (3, 32, 32))
    of = {one.name: one for one in graph.layers}
    assert list(of)[:2] == ["conv0", "conv0.max_pool"]
    assert layer(graph, "parts.0.conv2").appended_to == "conv0.max_pool"
    assert layer(graph, "parts.2.conv2").appended_to == "parts.1.conv2"
    assert layer(graph, "parts.3.norm").source == "parts.2.conv2"
    assert layer(graph, "parts.3.conv").source == "parts.3.norm.average_pool"
    assert layer(graph, "parts.4.conv2").appended_to == "parts.3.conv"


def test_what_cannot_lie_in_one_place_is_refused() -> None:
    def twice(s: Net, x: Tensor) -> Tensor:
        return s.c(torch.cat((x, s.a(x)), 1)) + s.d(torch.cat((x, s.b(x)), 1))

    with pytest.raises(GatewrightError, match=r"layer \w: its output is put behind stem, .* lies in one place"):
        captured(twice, 6, a=conv(8), b=conv(8), c=conv(12, 6), d=conv(12, 6))
    with pytest.raises(GatewrightError, match=r"it puts the output of convolution a behind the output of convolution"):
        captured(
            lambda s, x: s.c(y := F.relu(s.a(x))) + s.d(torch.cat((x, y), 1)), 6, a=conv(8), c=conv(4, 6), d=conv(12, 6)
        )
    with pytest.raises(GatewrightError, match=r"it puts the feature map .*max_pool behind"):
        captured(
            lambda s, x: s.c(torch.cat((s.a(x), F.max_pool2d(s.b(x), 2)), 1)),
            6,
            a=nn.Conv2d(8, 4, 1, 2),
            b=conv(8),
            c=conv(8, 6),
        )
    with pytest.raises(GatewrightError, match=r"cat: a concatenation along dimension 2; supported is that of channels"):
        captured(lambda s, x: s.c(torch.cat((x, s.a(x)), 2)), 6, a=conv(8, 8), c=conv(8, 6))
    with pytest.raises(GatewrightError, match=r"layer a: its output is put behind the image"):
        capture(BehindTheImage(), (3, SIZE, SIZE))
