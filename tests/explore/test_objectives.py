"""What a point is judged by, and the points that none beats."""

from __future__ import annotations

import random

import pytest

from gatewright.explore.checked import spread
from gatewright.explore.objectives import OBJECTIVES, Area, front, judge

AREA = Area(lut=20_000, ff=10_000, bram36=50, dsp=100)


def test_the_figures_of_a_point() -> None:
    figures = judge({"a": (90_000, 110_000), "b": (400_000,)}, {"a": 3.0, "b": 1.0}, 200, AREA)
    # Three images of 100,000 cycles for each of 400,000: 175,000 on average, of 5 ns.
    assert figures["latency"] == pytest.approx(0.875)
    assert figures["latency_worst"] == pytest.approx(2.0)
    assert figures["throughput"] == pytest.approx(1000 / 0.875)
    assert figures["throughput_per_dsp"] == pytest.approx(10 / 0.875)
    assert [figures[name] for name in ("lut", "ff", "bram36", "dsp")] == [20_000, 10_000, 50, 100]
    assert figures.keys() == OBJECTIVES.keys()


@pytest.mark.parametrize("seed", range(40))
def test_the_front_is_what_comparing_all_with_all_leaves(seed: int) -> None:
    rng = random.Random(seed)
    names = rng.sample(list(OBJECTIVES), rng.randint(1, 4))
    points = [{name: float(rng.randint(0, 6)) for name in names} for _ in range(rng.randint(1, 60))]

    def beats(one: dict[str, float], other: dict[str, float]) -> bool:
        sides = [(one[n], other[n]) if OBJECTIVES[n].larger else (other[n], one[n]) for n in names]
        return all(a >= b for a, b in sides) and any(a > b for a, b in sides)

    expected = [
        place
        for place, point in enumerate(points)
        if not any(beats(other, point) for other in points) and point not in points[:place]
    ]
    assert front(points, names) == expected, f"seed {seed}"


def test_chosen_points_lie_evenly_over_the_front() -> None:
    assert spread(list("abcdefg"), 3) == ["a", "d", "g"]
    assert spread(list("ab"), 3) == ["a", "b"]
    assert spread(list("abc"), 1) == ["b"]
    assert spread(list("abc"), 0) == []
