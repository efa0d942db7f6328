"""The steps of a pass over maps in DRAM."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gatewright.compiler.plan.tile_steps import StepModel, Work


def model(tiles: int, most: int, filter_bytes: int, behind: int = 0) -> StepModel:
    work = (Work(macs=tiles * 100_000, filter_bytes=filter_bytes, tiles=tiles, behind=behind),)
    return StepModel(tiles, 4, most, most, 400.0, 0.1, 256, work)


@pytest.mark.parametrize("seed", range(20))
def test_steps_cover_all_tiles_and_have_room(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tiles = int(rng.integers(1, 60))
    most = int(rng.integers(1, tiles + 1))
    active = np.flatnonzero(rng.random(tiles) < rng.random()).tolist()
    steps = model(tiles, most, int(rng.integers(0, 2)) * 20_000).steps(active)
    where = f"seed {seed}: {tiles} tiles, at most {most}, active {active}: {steps}"
    assert (steps[0][0], steps[-1][1]) == (0, tiles), where
    assert all(end == first for (_, end), (first, _) in pairwise(steps)), where
    assert all(0 < end - first <= most for first, end in steps), where


def test_steps_have_about_as_many_active_tiles() -> None:
    active = [0, 1, 2, 3, 20, 21, 40, 47]
    counts = [sum(first <= tile < end for tile in active) for first, end in model(49, 40, 20_000).steps(active)]
    assert max(counts) - min(counts) <= 1, counts


def test_a_pass_has_fewer_steps_where_filters_follow_in_the_last() -> None:
    everything = list(range(49))
    alone, followed = (len(model(49, 40, 60_000, behind).steps(everything)) for behind in (0, 200_000))
    assert followed < alone
