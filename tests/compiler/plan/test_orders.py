"""What comes from both ends comes once, as LOAD brings it and as the array takes it; the first starts the sums."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gatewright.compiler.emit.filter_use import Use
from gatewright.compiler.plan.by_taps import cut_by_taps
from gatewright.compiler.plan.filters import FilterBank, cut, from_both_ends
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Space

ULTRA96 = PRESETS["ultra96"]


def bank(space: Space, filters: int, channels: int, rows: int) -> FilterBank:
    return FilterBank("conv", 0, space, rows, 0, filters, 9 * channels, 9, "gate", 0, ())


@pytest.mark.parametrize("count", range(8))
def test_both_ends_meet_in_the_middle(count: int) -> None:
    order = from_both_ends(range(count))
    assert sorted(order) == list(range(count))
    low, high = order[::2], order[1::2]
    assert low == sorted(low) and high == sorted(high, reverse=True)


@pytest.mark.parametrize("filters", [16, 40, 64, 200, 512])
def test_groups_are_loaded_in_the_order_of_their_use(filters: int) -> None:
    """Of a live program's groups each comes once; of any two in turn one is of the first half, but for the first."""
    cut_bank = cut(bank(Space.WEIGHTS_BY_VECTOR, filters, 256, filters), ULTRA96, live=True)
    order = cut_bank.in_order(filters)
    assert sorted(order) == list(range(cut_bank.groups(filters)))
    use, loaded = Use(0, cut_bank, 0, None), []
    while True:
        loaded.append((use.group, use.piece))
        if use.advance(filters):
            break
    assert loaded == [(group, piece) for group in order for piece in range(len(cut_bank.pieces_in(group)))]
    if len(order) > 4:
        middle = (len(order) + 2) / 2
        assert order[:2] == [0, 1] and all(min(two) < middle for two in pairwise(order[2:]))
        replayed = cut(bank(Space.WEIGHTS_BY_VECTOR, filters, 256, filters), ULTRA96)
        assert replayed.in_order(filters) == list(range(replayed.groups(filters)))


@pytest.mark.parametrize("channels", [128, 256, 512])
def test_a_filters_slices_come_once_tap_by_tap_from_both_ends(channels: int) -> None:
    pieces = cut_by_taps(bank(Space.WEIGHTS_BY_REDUCTION, 512, channels, channels), ULTRA96).pieces
    slices = channels // ULTRA96.rows
    covered = [slice_ for piece in pieces for slice_ in range(piece.first, piece.first + piece.count)]
    assert sorted(covered) == list(range(9 * slices)) and pieces[0].first == 0
    if channels == 512:  # half of the channels off: no two pieces in turn that are behind the last one
        behind = [piece.first % slices >= slices // 2 for piece in pieces]
        assert sum(behind) * 2 == len(pieces) and not any(one and other for one, other in pairwise(behind))
