"""Where rows of a map in DRAM lie in a ring: LOAD, STORE, GATHER and EPILOGUE mean the same places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewright.compiler.emit.placed_maps import ADDRESS_SPACE, placed_rows
from gatewright.compiler.plan.spills import DramRows
from gatewright.contract.arch import BEAT_BYTES


@given(st.data())
def test_every_byte_of_a_row_lies_where_it_was_brought(data: st.DataObject) -> None:
    pitch = data.draw(st.sampled_from([4, 8, 16, 48, 80]))
    unit = DramRows(0, pitch, pitch, 1, 0).unit
    height = unit * data.draw(st.integers(1, 12))
    ring = unit * data.draw(st.integers(1, 8))
    shift = unit * data.draw(st.integers(0, ring // unit - 1))
    rows = DramRows(1 << 16, height * pitch, pitch, ring, 320, shift=shift)
    first = unit * data.draw(st.integers(0, height // unit - 1))
    end = data.draw(st.integers(first + 1, min(height, first + ring)))
    brought = {
        (dram - rows.dram + byte, address + byte)
        for dram, address, beats in rows.transfers(first, rows.whole_units(end), 4)
        for byte in range(beats * BEAT_BYTES)
    }
    placed = placed_rows(rows.address, pitch, ring, first, end, shift)
    for row in range(first, end):
        lower = placed.wrap_bytes if placed.wrap_row and row >= placed.wrap_row else 0
        place = (placed.address + row * pitch - lower) % ADDRESS_SPACE
        assert {(row * pitch + byte, place + byte) for byte in range(pitch)} <= brought
        assert any(low <= place and place + pitch <= high for low, high in placed.ranges)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 60), st.integers(0, 29), st.integers(-6, 6))
def test_the_next_passs_first_row_overwrites_none_of_the_last_ones(
    ring: int, other: int, height: int, shift: int, offset: int
) -> None:
    """If the rings begin at multiples of a row; what lies between the last row and the first one is free."""
    before = DramRows(0, height * 16, 16, ring, 160, shift=shift % ring)
    after = DramRows(0, height * 16, 16, other, 160 + 16 * offset).behind(before)
    ((_, last, _),) = before.transfers(height - 1, height)
    ((_, first, _),) = after.transfers(0, 1)
    behind = 160 + (last - 160 + 16) % (16 * ring)
    assert (first - behind) % (16 * other) == 0 and 0 <= after.shift < other
