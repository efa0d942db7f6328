"""A network that normalises its images itself: what capture makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.errors import GatewrightError
from tests.compiler.networks import lively, random_images


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
