"""Gates of other forms: what they are captured as, and what is refused. What they compute is in ``end_to_end``."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from tests.compiler.networks import random_images
from tests.support.gate_forms import CHANNELS, Normed, OfChannels, OfLayers, formed, of_channels, of_layers

IMAGES = CIFAR10.normalise(random_images(12))


@pytest.mark.parametrize(("strict", "on"), [(False, 1.0), (True, 0.0)])
def test_equality_is_on_for_at_least_and_off_for_greater(strict: bool, on: float) -> None:
    """Logits that are exactly 0, in float and in integers: the weights are 0, and the threshold is the bias."""

    class Always(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logit = nn.Linear(CHANNELS, 1)
            nn.init.zeros_(self.logit.weight)
            nn.init.constant_(self.logit.bias, 0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logit: torch.Tensor = self.logit(x)
            return logit

    network = OfLayers((Always(), Always()), lambda g, x: (g(x) > 0.5 if strict else g(x) >= 0.5).float()).eval()
    decisions = run_float(capture(network, (3, 16, 16)), IMAGES).decisions
    assert {float(decided.mean()) for decided in decisions.values()} == {on}


def test_what_only_a_gated_layer_reads_is_gated_with_it() -> None:
    graph = capture(formed("layers: convolutions", IMAGES), (3, 16, 16))
    layers = {layer.name: layer for layer in graph.layers}
    gated = {name: layer.output_tiles for name, layer in layers.items() if isinstance(layer, FloatConv)}
    first, second = (name for name in layers if name.startswith("gates") and "look" not in name and "shri" not in name)
    assert {name for name, gate in gated.items() if gate == first} == {"first", "second"}
    assert {name for name, gate in gated.items() if gate == second} == {"narrow", "middle", "widen"}
    order = list(layers)
    assert order.index(second) < order.index("narrow"), "the module computes the convolutions before the gate"
    assert order.index("gates.1.look") < order.index(second)


REFUSED = {
    "three layers": (of_channels(lambda g, x: (g(x) >= 0).float(), 8, 8), "with 3 fully connected layers on a global"),
    "argmax of three": (of_layers(lambda g, x: g(x).argmax(1), 3), "argmax: the largest of 3 logits along dimension 1"),
    "value of the largest": (
        of_layers(lambda g, x: g(x).max(1).values >= 0, 2),
        "it multiplies whether any bit of a decision is on",
    ),
    "another hidden layer": (
        of_layers(lambda g, x: g(x)[:, :1] > g.layers[1](g.layers[0](x).relu())[:, :1], 8, 2),
        "both must be last layers on the same hidden layer or average",
    ),
    "logits beside a map": (
        OfChannels(Normed(CHANNELS, CHANNELS), lambda g, x: g(x) >= x),
        "logits beside the average-pooled map",
    ),
    "too many numbers": (
        of_layers(lambda g, x: (g(x) >= g.threshold[None, :, None]).float().sum(), 2),
        r"logits \[1, 2\] become \[1, 2, 2\]",
    ),
    "a mask of other channels": (
        OfChannels(Normed(CHANNELS, CHANNELS), lambda g, x: (g(x)[:, :2] >= 0).repeat(1, 8)),
        "repeat: this operation is not supported",
    ),
    "a soft gate": (of_layers(lambda g, x: F.softmax(g(x), 1)[:, 1], 2), "softmax.*not supported"),
    "a plain scale": (
        of_layers(lambda g, x: g(x), 1),
        "multiplies the output of fully connected layer .* by the output of conv",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_gate_is_refused_by_name(case: str) -> None:
    network, message = REFUSED[case]
    with pytest.raises(GatewrightError, match=message):
        capture(network, (3, 16, 16))
