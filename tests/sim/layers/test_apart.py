"""Kernels whose pixels do not lie side by side: dilated ones, and those that read the first channels of a map."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.verify.kit.generate.builder import Builder, Map
from gatewright.verify.kit.generate.layers import Layer, emit_conv
from gatewright.verify.kit.generate.oracle import conv_sums, conv_values, random_parameters
from tests.sim.layers.both import contents, run_both


@pytest.mark.parametrize("preset", ["4x4", "12x20"])
@pytest.mark.parametrize(
    ("some", "dilation", "stride", "padding", "pieces"),
    [(None, 2, 1, 2, 1000), (None, 3, 2, 0, 1000), (4, 1, 1, 1, 1000), (4, 2, 2, 3, 1000), (4, 2, 1, 2, 3)],
)
def test_both_simulators_are_the_oracle(
    preset: str, some: int | None, dilation: int, stride: int, padding: int, pieces: int
) -> None:
    rng, arch = np.random.default_rng(7), PRESETS[preset]
    build = Builder(arch)
    source = build.load_map(rng.integers(-128, 128, (9, 8, 6), dtype=np.int8))
    weights = rng.integers(-128, 128, (5, 3, 3, some or 6), dtype=np.int8)
    filters = build.load_filters(weights, random_parameters(rng, 6, weights[0].size), False)
    # A piece begins with a kernel row of 12 elements.
    slices = pieces if pieces * arch.rows % 12 == 0 else 1000
    layer = Layer(stride, padding, tile=2, some_channels=some, dilation=dilation, gather_slices=slices)
    seen = source.values[..., :some]
    height, width, _ = conv_sums(seen, weights, stride, padding, dilation).shape
    target = Map(build.room(height * width * 5), np.zeros((height, width, 5), np.int8))
    emit_conv(build, source, filters, layer, target, source.ready)
    expected = conv_values(source.values, filters, layer, target.values)
    np.testing.assert_array_equal(contents(run_both(build.program()), target), expected)
