"""Levels of bins and bilinear upsampling in integers, beside what they are in words."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import TensorShape
from gatewright.compiler.kinds.interpolation import ONE, weights_of
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from tests.compiler.naive import evaluate
from tests.compiler.networks import lively
from tests.end_to_end.networks import case_of
from tests.support.chain import compare_image
from tests.support.segmentation import pspnet_case


def places(small: int, large: int, align_corners: bool) -> list[tuple[int, Fraction]]:
    """The lower of the two small pixels that a large one lies between, and the share of the upper one."""
    found = []
    for place in range(large):
        if align_corners:
            at = Fraction(place * (small - 1), large - 1) if large > 1 else Fraction(0)
        else:
            at = max(Fraction(0), (place + Fraction(1, 2)) * Fraction(small, large) - Fraction(1, 2))
        low = min(int(at), small - 1)
        found.append((low, at - low if low + 1 < small else Fraction(0)))
    return found


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("small", "large"), [(1, 6), (2, 6), (3, 24), (6, 24), (6, 30)])
def test_weights_are_those_of_the_four_pixels_around_and_add_up_to_one(
    small: int, large: int, align_corners: bool
) -> None:
    found = weights_of(TensorShape(1, small, small), TensorShape(1, large, large), align_corners)
    assert (found.sum(2) == ONE).all() and (found >= 0).all()
    axis = places(small, large, align_corners)
    for y, (row, down) in enumerate(axis):
        for x, (column, right) in enumerate(axis):
            exact = np.zeros((small, small), object) + Fraction(0)
            for dy, of_row in ((0, 1 - down), (1, down)):
                for dx, of_column in ((0, 1 - right), (1, right)):
                    if of_row * of_column:
                        exact[row + dy, column + dx] += of_row * of_column
            off = [abs(int(weight) - share * ONE) for weight, share in zip(found[y, x], exact.ravel(), strict=True)]
            assert max(off) < 1


def test_weights_are_near_those_of_torch() -> None:
    small = torch.randn(1, 5, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = weights_of(TensorShape(5, 6, 6), TensorShape(5, 24, 24), True).astype(np.float64) / ONE
    wanted = F.interpolate(small, (24, 24), mode="bilinear", align_corners=True)[0].numpy()
    got = np.einsum("yxk,ck->cyx", weights, small[0].flatten(1).numpy())
    assert np.abs(got - wanted).max() < 2 / ONE * np.abs(small.numpy()).max() * 2


def test_the_reference_is_what_plain_integers_give() -> None:
    network = pspnet_case("basic", "dual", 4, 3)
    tensors, decisions, _ = evaluate(network.graph, network.inputs[1])
    for name, values in decisions.items():
        np.testing.assert_array_equal(network.reference.decisions[name][1].reshape(values.shape), values, err_msg=name)
    for name in network.reference.tensors.keys() - {network.graph.input}:
        np.testing.assert_array_equal(network.reference.tensors[name][1], tensors[name], err_msg=name)


def test_a_concatenation_of_masked_maps_is_refused() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.gated, self.last = (nn.Conv2d(count, 8, 3, 1, 1) for count in (3, 8, 24))
            self.gate = nn.Conv2d(8, 1, 3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.stem(x))
            mask = (self.gate(F.adaptive_avg_pool2d(x, 3)) >= 0).float()
            masked = F.relu(self.gated(x)) * F.interpolate(mask, size=(12, 12))
            level = F.interpolate(F.adaptive_avg_pool2d(x, 2), (12, 12), mode="bilinear")
            last: Tensor = self.last(torch.cat([masked, x, level], 1))
            return last

    with pytest.raises(GatewrightError, match="last: it reads a concatenation of 3 maps where they lie"):
        capture(Masked(), (3, 12, 12))


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "bins of several sizes": (
        lambda x: torch.cat([x, F.interpolate(F.adaptive_avg_pool2d(x, 5), (12, 12), mode="bilinear")], 1),
        "it averages 12x12 pixels in 5x5 bins; bins of a map that is read on must be squares of one size",
    ),
    "a large map": (
        lambda x: torch.cat([x, F.interpolate(x, scale_factor=1.0, mode="bilinear")], 1),
        "bilinear upsampling of 12x12 pixels; supported are maps of 64 pixels at most",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_levels_are_refused(name: str) -> None:
    function, message = REFUSED[name]

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.last = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(16, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            last: Tensor = self.last(function(F.relu(self.stem(x))))
            return last

    with pytest.raises(GatewrightError, match=message):
        capture(Other(), (3, 12, 12))


class Lateral(nn.Module):
    """A small map that is upsampled and added to a larger one's convolution; ``given``: returned beside that, too."""

    def __init__(self, given: bool) -> None:
        super().__init__()
        self.given, self.stem, self.down = given, nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 12, 3, 4, 1)
        self.lateral, self.out = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 5, 3, 1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu(self.stem(x))
        small = F.relu(self.down(x))
        wide = F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False)
        out = self.out(F.relu(self.lateral(x) + wide))
        return [out, small] if self.given else [out]


def test_what_is_upsampled_bilinearly_may_be_added_to_a_convolution() -> None:
    torch.manual_seed(1)
    network = case_of(lively(Lateral(False), 3), 16)
    compiler = Compiler(network.graph, PRESETS["8x8"])
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()
    assert compiler.image.pitches == {"down": 16}  # its 12 channels are rows of a beat


def test_a_small_map_of_no_whole_beats_is_not_returned() -> None:
    torch.manual_seed(1)
    network = case_of(lively(Lateral(True), 3), 16)
    with pytest.raises(GatewrightError, match="down.output: the network returns down, whose pixels do not lie side by"):
        Compiler(network.graph, PRESETS["8x8"])


def test_bins_of_bins_are_refused() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.out = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            level = F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(F.relu(self.stem(x)), 6), 2)
            out: Tensor = self.out(level)
            return out

    with pytest.raises(
        GatewrightError, match="looks at stem.bins, which adaptive pooling made; it must look at a conv"
    ):
        case_of(lively(Nested(), 3), 12)
