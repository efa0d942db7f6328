"""Effective sizes in RTL are those of the simulator."""

from __future__ import annotations

import pytest

from gatewright.contract.isa import Opcode
from gatewright.hw.control.sizes import Sizes, reciprocal
from tests.hw.array.array_cases import machine
from tests.support.rtl import run_bench


@pytest.mark.parametrize(
    ("opcode", "name"),
    [("MATMUL", "4x4x4"), ("MATMUL", "12x20x4"), ("MATMUL", "7x4x4"), ("GATHER", "4x4x4"), ("EPILOGUE", "4x4x4")],
)
def test_sizes_are_those_of_the_simulator(opcode: str, name: str) -> None:
    """Rows that are a power of two, and two that are not: the slices are a division."""
    print(f"{opcode} on {name}, seed 1")
    run_bench(
        Sizes(Opcode[opcode], machine(name)),
        "tests.hw.control.bench_sizes",
        env={"OPCODE": opcode, "MACHINE": name, "SEED": "1"},
    )


@pytest.mark.parametrize("divisor", range(1, 17))
def test_a_reciprocal_divides_exactly(divisor: int) -> None:
    """Every number of a range like those in use, up to the last one; the multiplier fits a multiplier block."""
    largest = 8190 * divisor + divisor - 1
    multiplier, shift = reciprocal(divisor, largest)
    assert all(number // divisor == number * multiplier >> shift for number in range(largest + 1))
    assert largest < 1 << 17 and multiplier < 1 << 24
