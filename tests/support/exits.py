"""A small network with two early exits, and what it answers."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from gatewright.models.synthetic.exits import set_exits
from tests.compiler.networks import lively_resnet, random_images
from tests.end_to_end.networks import Case

SIZE, IMAGES = 16, 16


class WithNumber(nn.Module):
    """A network with early exits that also says at which one an image leaves."""

    def __init__(self, network: EarlyExits) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.forward_with_exits(x)


class GatedWithExit(nn.Module):
    """A network with gates in its blocks, which answers for half of the images behind the first of them."""

    def __init__(self, gating: Gating) -> None:
        super().__init__()
        self.network = lively_resnet(gating, SIZE, 41)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(3)
            self.early = nn.Linear(16, 10)
            self.early.weight *= 8
            self.early.bias.fill_(-1)
            self.limit = float(self.early(self.first(pictures()).mean((2, 3))).amax(1).median())

    def first(self, x: Tensor) -> Tensor:
        """What the exit reads."""
        seen: Tensor = self.network.blocks()[0](self.network.stem(x))[0]
        return seen

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        early = self.early(x.mean((2, 3)))
        for block in self.network.blocks()[1:]:
            x, _ = block(x)
        return torch.where((early >= self.limit).any(1)[:, None], early, self.network.head(x))


def pictures(count: int = IMAGES, size: int = SIZE) -> Tensor:
    """Normalised images [count, 3, size, size]."""
    return torch.from_numpy(CIFAR10.normalise(random_images(count, size, 3)))


def network_with_exits(classes: int = 10, size: int = SIZE) -> EarlyExits:
    """Drawn, with thresholds at which about a third of the images leaves at each exit."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = NetworkSpec(8, classes=classes, size=size, family_name="resnet-cifar-exits").build().eval()
    assert isinstance(network, EarlyExits)
    set_exits(network, pictures(size=size), [0.3, 0.3])
    return network


@cache
def exits_case(classes: int = 10, size: int = SIZE) -> Case:
    """The network in integers, and its reference on images that leave at all three places."""
    images, network = pictures(size=size).numpy(), network_with_exits(classes, size)
    graph = capture(network, (3, size, size))
    quantised = quantise(graph, calibrate(graph, images))
    inputs = quantise_input(images, quantised)
    reference = run_reference(quantised, inputs, keep=True)
    assert set(reference.taken.tolist()) == {0, 1, 2}
    return Case(quantised, inputs, reference)


def one_for_each(taken: npt.NDArray[np.int64]) -> list[int]:
    """The first image that leaves at each exit, and at the end."""
    return [int(np.flatnonzero(taken == number)[0]) for number in sorted(set(taken.tolist()))]
