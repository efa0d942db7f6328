"""The sum over all pixels as two digits: a product of two vectors and REDUCE with ``digits`` give the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import EpilogueKind
from gatewright.verify.kit.generate.builder import Builder, Map
from gatewright.verify.kit.generate.layers import emit_whole
from gatewright.verify.kit.generate.oracle import random_parameters, raw_logits
from gatewright.verify.kit.generate.windows import Windows, emit_windows
from tests.sim.layers.both import contents, run_both

REDUCE, RAW = EpilogueKind.REDUCE, EpilogueKind.REDUCE_RAW


@pytest.mark.parametrize("columns", [4, 16, 20])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (11, 11), (3, 5), (1, 1)])
def test_one_summed_vector_is_the_product_of_all_pixels(height: int, width: int, columns: int) -> None:
    rng = np.random.default_rng([height, width, columns])
    build = Builder(ArchConfig(name="test", rows=8, columns=columns))
    extremes = rng.choice(np.array([-128, 127], np.int8), (height, width, 21))
    source = build.load_map(extremes if height > 7 else rng.integers(-128, 128, (height, width, 21), dtype=np.int8))
    weights = rng.integers(-128, 128, (19, 1, 1, 21), dtype=np.int8)
    filters = build.load_filters(weights, random_parameters(rng, 20, 21 * height * width), True)
    digits = Map(build.room(42), np.zeros((1, 2, 21), np.int8))
    windows = Windows(EpilogueKind.DIGITS, max(height, width), 1, channel_split=11)
    digits.ready = [emit_windows(build, source, windows, 0, digits, [])]
    results = {}
    for kind, size in ((REDUCE, 1), (RAW, 4)):
        for read, by_digits in ((source, False), (digits, True)):
            target = Map(build.room(19 * size), np.zeros((1, 1, 19 * size), np.int8))
            emit_whole(build, read, filters, kind, target.address, read.ready, digits=by_digits)
            results[kind, by_digits] = target
    result = run_both(build.program())
    sums = source.values.astype(np.int64).sum((0, 1))
    high, low = contents(result, digits)[0].astype(np.int64)
    np.testing.assert_array_equal(128 * high + low, sums)
    assert (low >= 0).all()
    for kind in (REDUCE, RAW):
        pair = [contents(result, results[kind, by_digits]) for by_digits in (False, True)]
        np.testing.assert_array_equal(*pair)
    totals = raw_logits(weights[:, 0, 0].astype(np.int64) @ sums, filters.entries[1:])
    np.testing.assert_array_equal(contents(result, results[RAW, True]).view("<i4").ravel(), totals)
