"""Random gated convolutions on machines of several shapes, against plain loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.sim.fast.machine import simulate
from tests.sim.fast.convolution_case import contents, draw, expected
from tests.sim.fast.convolution_program import compile_case

SHAPES = ["ultra96", "8x8", "4x4", "12x20"]
CASES_PER_SHAPE = 40


@pytest.mark.parametrize("shape", SHAPES)
def test_random_convolutions_give_every_byte(shape: str) -> None:
    """Borders, strides, tiles, compact maps, masks, residuals, pooling: output and pooled map, all bytes."""
    for seed in range(CASES_PER_SHAPE):
        case = draw(PRESETS[shape], seed + 1000 * SHAPES.index(shape))
        print(case)
        data = contents(case)
        compiled = compile_case(case, data)
        result = simulate(compiled.program, audit=True)
        output, pooled = expected(case, data)
        for name, want, (address, size) in (("map", output, compiled.output), ("pooled", pooled, compiled.pooled)):
            got = result.scratchpad[address : address + size].view(np.int8).reshape(want.shape)
            np.testing.assert_array_equal(got, want, err_msg=f"{name} of {case}")
            # What LOAD did not fill around the map is still zero.
            end = address + -(-size // 16) * 16
            assert not result.scratchpad[address - 16 : address].any()
            assert not result.scratchpad[end : end + 16].any()


def test_the_cases_cover_the_options() -> None:
    """The random cases above contain each option, and their opposites."""
    cases = [
        draw(PRESETS[shape], seed + 1000 * SHAPES.index(shape)) for shape in SHAPES for seed in range(CASES_PER_SHAPE)
    ]
    for option in ("pixels_stand", "by_reduction", "residual", "relu", "pool", "compact"):
        values = [getattr(case, option) for case in cases]
        assert sum(values) >= 10 and len(values) - sum(values) >= 10, option
    for option in ("tiles_on", "filters_on", "channels_on", "source_on"):
        values = [getattr(case, option) for case in cases]
        assert sum(v is None for v in values) >= 10 and sum(v is not None and len(v) > 1 for v in values) >= 10, option
        assert any(v == () for v in values), f"{option} is never empty"
    assert any(case.stride == 2 and case.padding == 1 for case in cases)
    assert any(case.out_width % case.tile for case in cases)
