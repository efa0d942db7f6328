"""EPILOGUE's kind TAPS: the signs of a convolution with one filter, against torch; its cycles, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gatewright.contract.arch import MASK_BITS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode, column
from gatewright.contract.timing import EPILOGUE_LATENCY
from gatewright.sim.fast.machine import simulate
from gatewright.verify.kit.generate.builder import Builder
from gatewright.verify.kit.generate.taps import Taps, emit_taps
from tests.sim.layers.both import run_both


def machine(columns: int) -> ArchConfig:
    return ArchConfig(name="test", rows=4, columns=columns)


def grid_of(size: tuple[int, int], window: int, step: int, inset: int) -> tuple[int, int]:
    """As many windows as a convolution has outputs, with its padding on both sides."""
    height, width = ((edge + 2 * inset - window) // step + 1 for edge in size)
    return height, width


@pytest.mark.parametrize("columns", [9, 16, 20, 32])
@pytest.mark.parametrize(("window", "step", "inset"), [(3, 1, 1), (3, 2, 1), (2, 2, 0), (1, 1, 0), (3, 3, 2)])
def test_the_signs_are_torchs(window: int, step: int, inset: int, columns: int) -> None:
    rng = np.random.default_rng([window, step, columns])
    source = rng.integers(-128, 128, (7, 9, 21), dtype=np.int8)
    weights = rng.integers(-128, 128, (window**2, 1, 1, 21), dtype=np.int8)
    kernel = torch.from_numpy(weights.reshape(window, window, 21).astype(np.float64)).permute(2, 0, 1)[None]
    image = torch.from_numpy(source.astype(np.float64)).permute(2, 0, 1)[None]
    sums = torch.nn.functional.conv2d(image, kernel, stride=step, padding=inset)[0, 0].numpy()
    bias = -int(sums[0, -1])  # one bit is decided by a sum of 0
    height, width = grid_of((7, 9), window, step, inset)
    assert sums.shape == (height, width)
    build = Builder(machine(columns))
    entries = [(0, 1, 1), *((bias, 1, 1) for _ in weights)]
    filters = build.load_filters(weights, entries, reduction_rows=False, pooled=False)
    taps = Taps(window, step, inset, height, width, pixel_split=11, beyond=3)
    emit_taps(build, build.load_map(source), filters, taps, 5 * MASK_BITS + 7, [])
    masks = run_both(build.program()).masks
    expected = np.zeros_like(masks)
    expected[5, 7 : 7 + sums.size] = (sums + bias >= 0).ravel()
    np.testing.assert_array_equal(masks, expected)


def program(columns: int, **changes: int) -> Builder:
    """A map of 3x4 pixels, a kernel of 2x2, and TAPS with some fields changed."""
    rng = np.random.default_rng(1)
    build = Builder(machine(columns))
    weights = rng.integers(-9, 9, (4, 1, 1, 5), dtype=np.int8)
    filters = build.load_filters(weights, [(0, 1, 1)] * 5, reduction_rows=False, pooled=False)
    source = build.load_map(rng.integers(-9, 9, (3, 4, 5), dtype=np.int8))
    emit_taps(build, source, filters, Taps(2, 1, 1, 3, 4), 0, [])
    for name, value in changes.items():
        build.rows[-1][column(Opcode.EPILOGUE, name)] = value
    return build


def test_a_bit_takes_a_cycle_for_each_place_and_one() -> None:
    build = program(4)
    number = len(build.rows) - 1
    result = simulate(build.program())
    (record,) = (record for record in result.trace.records if record["instruction"] == number)
    assert record["done"] - record["run"] == 12 * (4 + 1) + EPILOGUE_LATENCY


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 3}, "window = 3; the edge of this kind's windows is 1 to 2"),
        ({"channels": 2}, "channels = 2; kind TAPS makes one bit for each window"),
        ({"wrap_row": 1}, "wrap_row = 1; kind TAPS reads accumulators"),
        ({"source_height": 500}, "reaches entry"),
        ({"filter_count": 2}, "writes 2 channels"),
        ({"destination": 32 * MASK_BITS - 3}, "reaches mask bit"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, int], words: str) -> None:
    with pytest.raises(GatewrightError, match=words):
        simulate(program(4, **changes).program())
