"""Regions of an operand buffer never overlap while they are alive, and find room."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.compiler.plan.operand_ring import Ring
from gatewright.contract.errors import GatewrightError

steps = st.lists(st.tuples(st.booleans(), st.integers(1, 300)), min_size=1, max_size=80)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 40), steps)
def test_live_regions_of_a_ring_never_overlap(size: int, steps: list[tuple[bool, int]]) -> None:
    ring, used, refused = Ring(16 * size, "buffer"), np.zeros(16 * size, int), 0
    alive: dict[str, tuple[int, int]] = {}
    for number, (take, words) in enumerate(steps):
        if take and words <= 16 * size:
            base = ring.take(str(number), words)
            if base is None:
                refused += 1
                assert alive, "an empty ring has room"
                continue
            assert base % 4 == 0, "instructions name regions in units of 4 words"
            assert (used[base : base + words] == 0).all() and base + words <= 16 * size
            used[base : base + words] = 1
            alive[str(number)] = base, words
        elif alive:
            name = list(alive)[words % len(alive)]
            base, words = alive.pop(name)
            used[base : base + words] = 0
            ring.release(name)


@settings(deadline=None, max_examples=200)
@given(st.integers(2, 40), st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_a_ring_finds_room_once_the_oldest_give_way(size: int, requests: list[int]) -> None:
    ring = Ring(16 * size, "buffer")
    alive: list[str] = []
    for number, words in enumerate(requests):
        if words > 16 * size:
            continue
        while ring.place(words, ring.live) is None:
            ring.release(alive.pop(0))
        promised = ring.place(words, ring.live)
        assert ring.take(str(number), words) == promised
        alive.append(str(number))


def test_a_region_larger_than_the_ring_is_an_error() -> None:
    with pytest.raises(GatewrightError, match="a chunk of conv1 needs 48 words of the patch buffer, which has 32"):
        Ring(32, "patch buffer").take("a chunk of conv1", 33)


def test_room_is_left_where_no_group_could_lie() -> None:
    ring = Ring(1024, "weight buffer")
    for name in ("first", "second"):
        assert ring.take(name, 400) is not None
    assert ring.leaves_room(400, 160, [])  # behind both: two groups find room all the same
    assert not ring.leaves_room(400, 240, [])  # there is no room at all now
    ring.release("first")
    assert not ring.leaves_room(320, 160, [])  # of three groups two would find room
