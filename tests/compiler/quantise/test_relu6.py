"""ReLU6 in integers: the saturation of int8, at a range of 6 at most."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.errors import GatewrightError


class Capped(nn.Module):
    """A channel passed on, and one four times as large, capped at 6."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 1, bias=False), nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, 4.0]).view(2, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(F.relu6(self.conv(x)).mean((2, 3)))
        return logits


VALUES = np.linspace(-4, 4, 64, dtype=np.float32).reshape(1, 1, 8, 8)


@pytest.mark.parametrize("most", [6.0, 3.0])
def test_values_saturate_at_the_range(most: float) -> None:
    """With the range at 6 that is ReLU6 of the image's levels, rounded; a range below 6 saturates there."""
    graph = capture(Capped(), (1, 8, 8))
    quantised = quantise(graph, {"input": 4.0, "conv": most})
    inputs = quantise_input(VALUES, quantised)
    found = run_reference(quantised, inputs, keep=True).tensors["conv"][0].reshape(-1, 2)
    levels = inputs.reshape(-1).astype(np.float64) * 4 / 127
    for channel, factor in enumerate((1.0, 4.0)):
        expected = np.clip(factor * levels, 0, min(6.0, most)) * 127 / most
        np.testing.assert_allclose(found[:, channel], expected, rtol=0, atol=0.51)
    assert found[:, 1].max() == 127


def test_the_float_graph_has_the_activation() -> None:
    network = Capped().eval()
    seen: dict[str, Tensor] = {}
    run_float(capture(network, (1, 8, 8)), VALUES, lambda name, values: seen.update({name: values}))
    assert float(seen["conv"].max()) == 6.0 and float(seen["conv"].min()) == 0.0


def test_a_range_beyond_6_is_refused() -> None:
    with pytest.raises(GatewrightError, match=r"conv: the range of its output conv is 7, and its activation ends at 6"):
        quantise(capture(Capped(), (1, 8, 8)), {"input": 4.0, "conv": 7.0})
