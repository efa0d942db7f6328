"""What rounding adds to outputs on average leaves the bias: measured on the integer reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.compiler.quantise.rounding_bias import mean_of_maps, without_rounding_bias
from gatewright.contract.errors import GatewrightError

CHANNELS, EDGE = 16, 9


class Narrow(nn.Module):
    """A map of positive numbers, a depthwise convolution of it and a 1x1 one, all without padding."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(3, CHANNELS, 1)
        self.depthwise = nn.Conv2d(CHANNELS, CHANNELS, 3, groups=CHANNELS)
        self.project = nn.Conv2d(CHANNELS, 8, 1)
        self.classify = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x).relu()).relu()
        logits: Tensor = self.classify(self.project(y).mean((2, 3)))
        return logits


def narrow() -> tuple[Narrow, FloatGraph, np.ndarray]:
    torch.manual_seed(5)
    network = Narrow().eval()
    images = torch.rand(64, 3, EDGE, EDGE).numpy().astype(np.float32)
    return network, capture(network, (3, EDGE, EDGE)), images


def mean_error(graph: FloatGraph, network: Narrow, images: np.ndarray, means: bool) -> float:
    """How far the projection's channels are off on average: the largest, in units of its scale, by torch alone."""
    ranges = calibrate(graph, images)
    to_round = without_rounding_bias(graph, mean_of_maps(graph, images), ranges) if means else graph
    quantised = quantise(to_round, ranges)
    tensors = run_reference(quantised, quantise_input(images, quantised), keep=True).tensors
    with torch.no_grad():
        x = torch.from_numpy(images)
        expected = network.project(network.depthwise(network.expand(x).relu()).relu()).mean((0, 2, 3)).numpy()
    (name,) = (layer.output for layer in graph.layers if layer.name == "project")
    found = tensors[name].mean((0, 1, 2)) * quantised.scales[name]
    return float(np.abs(found - expected).max() / quantised.scales[name])


def test_outputs_are_right_on_average() -> None:
    network, graph, images = narrow()
    before, after = (mean_error(graph, network, images, means) for means in (False, True))
    print(f"largest mean error {before:.3f} steps, with corrected biases {after:.3f}")
    assert after < 0.25 and after < before / 2


def test_the_means_are_those_of_torch_and_weights_stay() -> None:
    network, graph, images = narrow()
    means = mean_of_maps(graph, images)
    with torch.no_grad():
        expected = network.expand(torch.from_numpy(images)).relu().mean((0, 2, 3))
    source = next(layer.source for layer in graph.layers if layer.name == "depthwise")  # type: ignore[attr-defined]
    np.testing.assert_allclose(means[source], expected, rtol=1e-5)
    ranges = calibrate(graph, images)
    for old, new in zip(graph.layers, without_rounding_bias(graph, means, ranges).layers, strict=True):
        if isinstance(old, FloatConv) and isinstance(new, FloatConv):
            np.testing.assert_array_equal(old.weight, new.weight)


@pytest.mark.parametrize(("wrong", "message"), [(None, "has no means of"), ((0.5,), "has 1 means of")])
def test_means_of_another_network_are_refused(wrong: tuple[float, ...] | None, message: str) -> None:
    _, graph, images = narrow()
    means = mean_of_maps(graph, images)
    name = next(iter(means))
    if wrong is None:
        del means[name]
    else:
        means[name] = wrong
    with pytest.raises(GatewrightError, match=f"the calibration {message} tensor {name}"):
        without_rounding_bias(graph, means, calibrate(graph, images))
