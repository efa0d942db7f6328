"""The reference's sums of products against int64, where float32 would round."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gatewright.compiler.graph.exact import convolve, dense


def plain(source: npt.NDArray[np.int8], weight: npt.NDArray[np.int8], stride: int, padding: int) -> npt.NDArray:
    """int8 [B, C, H, W] with [O, KH, KW, C], term by term in int64."""
    padded = np.pad(source.astype(np.int64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[1:3], (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,oijc->nohw", windows, weight.astype(np.int64))


@pytest.mark.parametrize("reduction", [1023, 1024, 1025, 2048, 2049, 4608, 8191])
def test_the_largest_sums_are_exact(reduction: int) -> None:
    # All products but the last are 2**14: 1,024 of them are 2**24, after which float32 has even numbers only.
    source = np.full((1, reduction, 1, 1), -128, np.int8)
    weight = np.full((1, 1, 1, reduction), -128, np.int8)
    source[0, -1], weight[..., -1] = 1, 1
    assert int(convolve(torch.from_numpy(source), weight, 1, 0)) == (reduction - 1) * (1 << 14) + 1


@pytest.mark.parametrize(
    ("filters", "channels", "edge", "kernel", "stride", "padding"),
    [(8, 512, 4, 3, 1, 1), (5, 3, 23, 7, 2, 3), (6, 130, 9, 3, 2, 1), (4, 2000, 3, 1, 2, 0), (2, 5, 8, 6, 2, 2)],
)
@pytest.mark.parametrize("extreme", [False, True])
def test_convolutions_equal_int64(
    filters: int, channels: int, edge: int, kernel: int, stride: int, padding: int, extreme: bool
) -> None:
    rng = np.random.default_rng(7)
    values = np.array([-128, -127, 126, 127]) if extreme else np.arange(-128, 128)
    source, weight = (
        rng.choice(values, shape).astype(np.int8)
        for shape in ((3, channels, edge, edge + 1), (filters, kernel, kernel, channels))
    )
    found = convolve(torch.from_numpy(source), weight, stride, padding)
    np.testing.assert_array_equal(found.numpy(), plain(source, weight, stride, padding))


@pytest.mark.parametrize(("groups", "filters", "channels"), [(6, 1, 1), (2, 3, 4), (3, 2, 120)])
def test_groups_are_convolutions_of_their_channels(groups: int, filters: int, channels: int) -> None:
    rng = np.random.default_rng(8)
    source = rng.integers(-128, 128, (2, groups * channels, 7, 6)).astype(np.int8)
    weight = rng.integers(-128, 128, (groups * filters, 3, 3, channels)).astype(np.int8)
    parts = zip(np.split(source, groups, 1), np.split(weight, groups), strict=True)
    expected = np.concatenate([plain(part, kernel, 2, 1) for part, kernel in parts], 1)
    np.testing.assert_array_equal(convolve(torch.from_numpy(source), weight, 2, 1, groups).numpy(), expected)


def test_products_of_sums_are_exact() -> None:
    # As many terms of as many pixels as an int32 accumulator can hold: an odd number that float32 would round.
    sums = torch.full((1, 1032), -128 * 128)
    sums[0, -1] = 1
    weight = np.full((1, 1032), -127, np.int8)
    assert int(dense(sums, weight)) == 1031 * 127 * (1 << 14) - 127
