"""Rounding, saturation and scales against exact fractions; the oracle shares no code with the package."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatewright.contract.arithmetic import gate_decision, quantise_scale, requantise, saturate
from gatewright.contract.errors import GatewrightError


def exact_requantise(value: int, multiplier: int, shift: int) -> int:
    """floor(value * multiplier / 2**shift + 1/2), limited to int16."""
    rounded = math.floor(Fraction(value * multiplier, 2**shift) + Fraction(1, 2))
    return max(-32768, min(32767, rounded))


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**16 - 1), st.integers(1, 47))
@example(-(2**31), 2**16 - 1, 47)
@example(2**31 - 1, 2**16 - 1, 1)
@example(-1, 1, 1)
@example(-3, 1, 1)
@example(1, 1, 1)
def test_requantise_rounds_half_up_over_the_whole_range(value: int, multiplier: int, shift: int) -> None:
    got = requantise(np.array([value]), multiplier, shift)
    assert got.tolist() == [exact_requantise(value, multiplier, shift)]


@pytest.mark.parametrize("multiplier", [0, 1, 2, 3, 127, 128, 255])
@pytest.mark.parametrize("shift", [1, 2, 7, 8, 9])
def test_requantise_exhaustively_where_products_are_small(multiplier: int, shift: int) -> None:
    values = np.arange(-1024, 1025)
    expected = [exact_requantise(int(v), multiplier, shift) for v in values]
    assert requantise(values, multiplier, shift).tolist() == expected


def test_requantise_takes_one_multiplier_and_shift_per_channel() -> None:
    values = np.array([[100, 100], [-100, -100]])
    got = requantise(values, np.array([3, 5]), np.array([2, 3]))
    assert got.tolist() == [[75, 63], [-75, -62]]  # 62.5 up, -62.5 up


def test_requantise_keeps_int16_so_that_a_residual_can_still_bring_it_back() -> None:
    wide = requantise(np.array([200, 10**9, -(10**9)]), 2, 1)
    assert wide.tolist() == [200, 32767, -32768]
    assert saturate(wide[:1] - 100, relu=False).tolist() == [100]


@pytest.mark.parametrize(("relu", "low"), [(False, -128), (True, 0)])
def test_saturate_over_every_int16(relu: bool, low: int) -> None:
    values = np.arange(-32768, 32768)
    got = saturate(values, relu)
    assert got.dtype == np.int8
    assert got.tolist() == [min(127, max(low, v)) for v in range(-32768, 32768)]


def test_a_gate_is_on_at_a_tie() -> None:
    assert gate_decision(np.array([-(2**31), -1, 0, 1])).tolist() == [False, False, True, True]


@given(st.floats(2.0**-30, 2.0**14))
def test_scale_is_within_half_a_unit_of_a_full_multiplier(scale: float) -> None:
    multiplier, shift = quantise_scale(scale)
    assert 2**15 <= multiplier < 2**16 and 1 <= shift <= 47
    assert abs(Fraction(multiplier, 2**shift) - Fraction(scale)) <= Fraction(1, 2 ** (shift + 1))


@given(st.floats(0, 2.0**-32))
def test_scale_below_the_range_of_shifts_is_still_the_nearest_representable(scale: float) -> None:
    multiplier, shift = quantise_scale(scale)
    assert 0 <= multiplier < 2**16 and 1 <= shift <= 47
    assert abs(Fraction(multiplier, 2**shift) - Fraction(scale)) <= Fraction(1, 2**48)


@given(st.floats(0, 32767))
def test_every_accepted_scale_fits_the_parameter_fields(scale: float) -> None:
    multiplier, shift = quantise_scale(scale)
    assert 0 <= multiplier < 2**16 and 1 <= shift <= 47


def test_scale_that_rounds_up_to_a_power_of_two() -> None:
    assert quantise_scale(1 - 2.0**-40) == (2**15, 15)
    assert quantise_scale(1.0) == (2**15, 15)
    assert quantise_scale(0.0) == (0, 1)


@pytest.mark.parametrize("scale", [-0.5, math.inf, math.nan, 2.0**15, 1e9])
def test_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(GatewrightError, match="scale"):
        quantise_scale(scale)
