"""Capture refuses what it cannot read, and says which part of the network it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.sim.fast.machine import simulate


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
    "a large stride": (
        _net(lambda s, x: s.wide(x), wide=nn.Conv2d(8, 8, 3, stride=8)),
        "layer wide: its stride is 8; supported are 1 to 7",
    ),
    "the stride of an average on the array": (
        _net(lambda s, x: s.c(F.avg_pool2d(s.w(x), 12)), w=nn.Conv2d(8, 8, 3, padding=9), c=nn.Conv2d(8, 8, 1)),
        r"layer w\.average_pool: its stride is 12; supported are 1 to 7",
    ),
    "a large padding": (
        _net(lambda s, x: s.wide(x), wide=nn.Conv2d(8, 8, 3, padding=32)),
        "layer wide: its padding is 32; supported are 0 to 31",
    ),
    "a high kernel": (
        _net(lambda s, x: s.wide(x), wide=nn.Conv2d(8, 8, (16, 1))),
        "layer wide: its kernel's height is 16; supported are 1 to 15",
    ),
    "a broad kernel": (
        _net(lambda s, x: s.wide(x), wide=nn.Conv2d(8, 8, (1, 16))),
        "layer wide: its kernel's width is 16; supported are 1 to 15",
    ),
    "many channels": (
        _net(lambda s, x: s.back(s.many(x)), many=nn.Conv2d(8, 8192, 1), back=nn.Conv2d(8192, 8, 1)),
        "layer back: it reads 8192 channels; supported are at most 8191",
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


@pytest.mark.parametrize(("shape", "stride"), [((3, 1024, 2), 1), ((3, 2, 1024), 7)])
def test_a_map_with_a_longer_edge_than_an_instruction_counts_is_refused(
    shape: tuple[int, int, int], stride: int
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1, stride), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(
        GatewrightError, match=rf"layer 0: it reads a map of {shape[1]}x{shape[2]} pixels; .* 1023 each"
    ):
        capture(network, shape)


CONVOLUTIONS_AT_THE_LIMIT = {
    "kernel, stride and padding": (nn.Conv2d(3, 4, 15, stride=7, padding=31), (3, 15, 17)),
    "edge": (nn.Conv2d(3, 4, 1, stride=7), (3, 1023, 2)),
    "stride of an average": (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.AvgPool2d(11), nn.Conv2d(4, 4, 1)),
        (3, 22, 22),
    ),
    "rows of a kernel beside one another": (nn.Conv2d(3, 4, (17, 3), padding=8), (3, 5, 4)),
}


@pytest.mark.parametrize("case", CONVOLUTIONS_AT_THE_LIMIT)
def test_what_is_not_refused_fits_the_instructions(case: str) -> None:
    conv, shape = CONVOLUTIONS_AT_THE_LIMIT[case]
    network = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    sample = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    graph = capture(network, shape)
    quantised = quantise(graph, calibrate(graph, sample))
    image = quantise_input(sample, quantised)
    program = Compiler(quantised, PRESETS["ultra96"]).compile({}, image[0])
    expected = run_reference(quantised, image).outputs_of(0)
    assert all((simulate(program).outputs[name] == values).all() for name, values in expected.items())


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
