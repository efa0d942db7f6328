"""Division by reciprocals: exact for every dividend and divisor that the predecoder can have."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.hw.lib.divide import ReciprocalDivider, reciprocals
from tests.hw.lib.dividers import DIVIDERS
from tests.support.rtl import run_bench


@pytest.mark.parametrize("name", DIVIDERS)
def test_every_quotient_of_the_tables_is_exact(name: str) -> None:
    largest, divisors = DIVIDERS[name]
    shift, multipliers = reciprocals(largest, divisors)
    dividends = np.arange(largest + 1, dtype=np.int64)
    for divisor, multiplier in zip(divisors, multipliers, strict=True):
        expected = dividends // divisor if divisor else np.zeros_like(dividends)
        np.testing.assert_array_equal(dividends * multiplier >> shift, expected, f"by {divisor}")
    # One multiplier of the target takes 27 x 18 bits.
    assert max(multipliers).bit_length() <= 26 and largest.bit_length() <= 17


@pytest.mark.parametrize("name", DIVIDERS)
def test_a_smaller_shift_would_not_do(name: str) -> None:
    """The bound is tight enough to have worst cases: two bits less and some quotient is wrong."""
    largest, divisors = DIVIDERS[name]
    shift = reciprocals(largest, divisors)[0] - 2
    dividends = np.arange(largest + 1, dtype=np.int64)
    wrong = [d for d in divisors if d and (dividends * -(-(1 << shift) // d) >> shift != dividends // d).any()]
    assert wrong


@pytest.mark.parametrize("name", DIVIDERS)
def test_the_divider_divides(name: str) -> None:
    print("seed 1")
    largest, divisors = DIVIDERS[name]
    run_bench(ReciprocalDivider(largest, divisors), "tests.hw.lib.bench_divide", env={"DIVIDER": name, "SEED": "1"})
