from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gatewright.contract.index_table import build_table


@given(st.lists(st.booleans(), max_size=200), st.booleans())
def test_channels_are_listed_in_order(mask: list[bool], complement: bool) -> None:
    got = build_table(np.array(mask, np.bool_), complement)
    assert got.dtype == np.uint16
    assert got.tolist() == [i for i, on in enumerate(mask) if on != complement]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**81 - 1), st.booleans())
def test_tiles_are_listed_in_raster_order(height: int, width: int, bits: int, complement: bool) -> None:
    mask = np.array([[bits >> (y * width + x) & 1 for x in range(width)] for y in range(height)], np.bool_)
    expected = [y * 256 + x for y in range(height) for x in range(width) if mask[y, x] != complement]
    assert build_table(mask, complement).tolist() == expected


def test_mask_and_complement_share_out_every_position() -> None:
    mask = np.random.default_rng(3).random((8, 8)) < 0.4
    both = np.concatenate([build_table(mask), build_table(mask, complement=True)])
    assert sorted(both.tolist()) == [y * 256 + x for y in range(8) for x in range(8)]
