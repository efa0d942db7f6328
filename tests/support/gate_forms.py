"""Networks whose gates are written in every form that capture takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.compiler.networks import lively

Decide = Callable[[nn.Module, Tensor], Tensor]
"""From what the gate's module makes of an average to decisions, which multiply."""

CHANNELS = 16


class Normed(nn.Module):
    """Fully connected layers of these sizes with ReLUs between, and a batch norm, which centres the logits."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        pairs = pairwise(sizes)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairs)
        self.norm = nn.BatchNorm1d(sizes[-1])
        self.threshold = nn.Parameter(torch.linspace(-0.5, 0.5, sizes[-1]))

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x.relu() if number else x)
        logits: Tensor = self.norm(x)
        return logits


class OfChannels(nn.Module):
    """A block with a gate between its convolutions that decides for each channel from the block's input."""

    def __init__(self, gate: nn.Module, decide: Decide) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Linear(CHANNELS, 5)
        self.first, self.second = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(2))
        self.gate, self.decide = gate, decide

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        mask = self.decide(self.gate, x.mean((2, 3)))[:, :, None, None]
        x = (self.second(self.first(x).relu() * mask) + x).relu()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class OfLayers(nn.Module):
    """A block of two convolutions with an identity, and one of three with a shortcut, which gates leave out whole."""

    def __init__(self, gates: tuple[nn.Module, nn.Module], decide: Decide) -> None:
        super().__init__()
        wide = 2 * CHANNELS
        self.stem, self.head = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Linear(wide, 5)
        self.first, self.second = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(2))
        self.narrow, self.middle = nn.Conv2d(CHANNELS, 8, 1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.widen, self.shortcut = nn.Conv2d(8, wide, 1), nn.Conv2d(CHANNELS, wide, 1, stride=2)
        self.gates, self.decide = nn.ModuleList(gates), decide

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        mask = self.decide(self.gates[0], self.seen(self.gates[0], x)).view(-1, 1, 1, 1)
        x = (x + mask * self.second(self.first(x).relu())).relu()
        y = self.widen(self.middle(self.narrow(x).relu()).relu())
        mask = self.decide(self.gates[1], self.seen(self.gates[1], x)).view(-1, 1, 1, 1)
        x = (self.shortcut(x) + y * mask).relu()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits

    def seen(self, gate: nn.Module, x: Tensor) -> Tensor:
        """What a gate looks at."""
        return x.mean((2, 3))


class Looking(Normed):
    """A gate that makes a map of its own of what it looks at: 1x1 with stride 2 and half the channels, 3x3, average."""

    def __init__(self, outputs: int) -> None:
        super().__init__(CHANNELS // 2, outputs)
        self.shrink = nn.Conv2d(CHANNELS, CHANNELS // 2, 1, stride=2)
        self.look = nn.Conv2d(CHANNELS // 2, CHANNELS // 2, 3, padding=1)


class WithConvolutions(OfLayers):
    """The same with gates that have convolutions."""

    def seen(self, gate: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(gate, Looking)
        return gate.look(gate.shrink(x).relu()).relu().mean((2, 3))


class Bypassed(OfLayers):
    """The same blocks, of which each is either computed or what it would be added to, without its ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # no ReLU, so that what stands may be negative
        mask = self.decide(self.gates[0], self.seen(self.gates[0], x)).view(-1, 1, 1, 1)
        x = mask * (self.second(self.first(x).relu()) + x).relu() + (1 - mask) * x
        y = self.widen(self.middle(self.narrow(x).relu()).relu())
        mask = self.decide(self.gates[1], self.seen(self.gates[1], x)).view(-1, 1, 1, 1)
        z = self.shortcut(x)
        y = (y + z).relu() * mask
        x = (1 - mask) * z + y
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def of_channels(decide: Decide, *hidden: int) -> nn.Module:
    return OfChannels(Normed(CHANNELS, *hidden, CHANNELS), decide)


def of_layers(decide: Decide, *sizes: int) -> nn.Module:
    return OfLayers((Normed(CHANNELS, *sizes), Normed(CHANNELS, *sizes)), decide)


CHANNEL_FORMS: dict[str, Callable[[], nn.Module]] = {
    "one layer": lambda: of_channels(lambda gate, x: (gate(x) >= 0).float()),
    "one layer, greater": lambda: of_channels(lambda gate, x: (gate(x) > 0).type_as(x)),
    "greater than a number": lambda: of_channels(lambda gate, x: torch.gt(gate(x), 0.25).to(x.dtype), 8),
    "at least a parameter": lambda: of_channels(lambda gate, x: (gate(x) >= gate.threshold).float(), 8),
    "less": lambda: of_channels(lambda gate, x: (gate(x) < 0.125).float()),
    "at most": lambda: of_channels(lambda gate, x: torch.le(gate(x), 0.125).float(), 8),
    "a sum": lambda: of_channels(lambda gate, x: (gate(x) - gate.threshold + 0.125 >= 0.25).float()),
    "scaled": lambda: of_channels(lambda gate, x: (2 * gate(x) / 0.5 - 0.5 > 0).float()),
    "opposite": lambda: of_channels(lambda gate, x: 1 - (gate(x) >= 0).float(), 8),
}
"""A gate that decides for each channel."""

LAYER_FORMS: dict[str, Callable[[], nn.Module]] = {
    "one layer": lambda: of_layers(lambda gate, x: (gate(x) >= 0).float(), 1),
    "two layers": lambda: of_layers(lambda gate, x: (gate(x) > 0.125).float(), 8, 1),
    "argmax": lambda: of_layers(lambda gate, x: gate(x).argmax(1).float(), 8, 2),
    "argmax of one layer": lambda: of_layers(lambda gate, x: gate(x).argmax(dim=-1, keepdim=True).type_as(x), 2),
    "the first is larger": lambda: of_layers(lambda gate, x: (gate(x).argmax(1) == 0).float(), 8, 2),
    "number of the largest": lambda: of_layers(lambda gate, x: gate(x).max(1).indices.float(), 8, 2),
    "the second beside the first": lambda: of_layers(
        lambda gate, x: (lambda logits: (logits[:, 1] > logits[:, 0]).float())(gate(x)), 8, 2
    ),
    "a sum of several": lambda: of_layers(lambda gate, x: (gate(x).sum(1, keepdim=True) >= 0.125).float(), 3),
    "one of several": lambda: of_layers(lambda gate, x: (gate(x)[:, 1:2] >= 0).float(), 8, 3),
    "none of it": lambda: of_layers(lambda gate, x: (~(gate(x) > 0)).float(), 1),
    "convolutions": lambda: WithConvolutions((Looking(1), Looking(1)), lambda gate, x: (gate(x) >= 0).float()),
    "convolutions, argmax": lambda: WithConvolutions((Looking(2), Looking(2)), lambda gate, x: gate(x).argmax(1)),
}
"""Gates that decide whether blocks are computed at all."""


class OfTiles(nn.Module):
    """A block whose convolutions a gate over 4x4 tiles masks, the larger of two logits a tile."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Linear(CHANNELS, 5)
        self.first, self.second = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(2))
        self.gate, self.norm = nn.Conv2d(CHANNELS, 2, 3, padding=1), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        logits = self.norm(self.gate(F.avg_pool2d(x, 4)))
        mask = F.interpolate(logits.argmax(1).unsqueeze(1).float(), scale_factor=4)
        x = (self.second(self.first(x).relu() * mask) * mask + x).relu()
        result: Tensor = self.head(x.mean((2, 3)))
        return result


class BypassedTiles(OfTiles):
    """The same, where a tile is either computed or the block's input, which may be negative."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        logits = self.norm(self.gate(F.avg_pool2d(x, 4)))
        mask = F.interpolate(logits.argmax(1).unsqueeze(1).float(), scale_factor=4)
        x = mask * (self.second(self.first(x).relu() * mask) + x).relu() + (1 - mask) * x
        result: Tensor = self.head(x.mean((2, 3)))
        return result


FORMS = {
    **{f"channels: {name}": make for name, make in CHANNEL_FORMS.items()},
    **{f"layers: {name}": make for name, make in LAYER_FORMS.items()},
    "layers: bypassed": lambda: Bypassed(
        (Normed(CHANNELS, 8, 2), Normed(CHANNELS, 8, 2)), lambda gate, x: gate(x).argmax(1).float()
    ),
    "tiles: argmax": OfTiles,
    "tiles: bypassed": BypassedTiles,
}


def formed(name: str, images: npt.NDArray[np.float32], seed: int = 1) -> nn.Module:
    """One of these networks, with random weights, whose gates decide both ways over images [N, 3, H, W]."""
    torch.manual_seed(seed)
    network = lively(FORMS[name](), seed)
    gates = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in gates:
        norm.train().momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(images))
    return network.eval()
