"""Classifiers of several fully connected layers on a global average: what torch computes, on the machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from tests.compiler.naive import evaluate
from tests.compiler.networks import lively, lively_resnet, random_images
from tests.end_to_end.networks import IMAGES, case_of
from tests.support.chain import compare_image

SIZE = 12


class HiddenLayers(nn.Module):
    """Two convolutions and a classifier with two hidden layers, one without an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 24, 3, 1, 1), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(24, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 9), nn.Linear(9, 5))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def test_hidden_layers_are_captured() -> None:
    network = lively(HiddenLayers(), 1)
    images = random_images(IMAGES, SIZE).transpose(0, 3, 1, 2).astype(np.float32) / 255
    graph = capture(network, (3, SIZE, SIZE))
    assert [layer.name for layer in graph.layers][-3:] == ["classifier.0", "classifier.3", "classifier.4"]
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run_float(graph, images).logits, expected, atol=1e-5)


@pytest.mark.parametrize("preset", ["ultra96", "4x4"])
def test_hidden_layers_run_as_the_reference(preset: str) -> None:
    network = case_of(lively(HiddenLayers(), 1), SIZE)
    compiler = Compiler(network.graph, PRESETS[preset])
    for position, sample in enumerate(network.inputs):
        assert evaluate(network.graph, sample)[2] == network.reference.logits[position].tolist()
        assert compare_image(compiler, sample, network.reference, position, audit=True).different == ()


def test_a_gated_network_may_have_hidden_layers() -> None:
    module = lively_resnet("dual", 16)
    module.fc = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))  # type: ignore[assignment]
    network = case_of(lively(module, 2), 16)
    compiler = Compiler(network.graph, PRESETS["ultra96"])
    for position, sample in enumerate(network.inputs):
        assert compare_image(compiler, sample, network.reference, position).different == ()


def test_an_activation_behind_the_last_layer_is_refused() -> None:
    network = nn.Sequential(HiddenLayers(), nn.ReLU())
    with pytest.raises(GatewrightError, match="a result is a feature map, or the logits of a linear layer"):
        capture(network, (3, SIZE, SIZE))
