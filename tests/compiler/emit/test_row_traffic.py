"""Rows of maps in DRAM between two passes: what waits to go, and what may come before its pass."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.compiler.emit.lower import Lowering, gates_everywhere
from gatewright.compiler.emit.row_traffic import RowTraffic, _Stream
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.spills import DramRows, Pass, Use
from gatewright.contract.arch import BEAT_BYTES, PRESETS
from gatewright.contract.isa import Opcode, column
from tests.end_to_end.networks import captured


@cache
def image() -> NetworkImage:
    arch = replace(PRESETS["8x8"], scratchpad_kib=24, weight_kib=16)
    return NetworkImage(captured("dual", 32).graph, arch, live=True)


@pytest.mark.parametrize("row", [0, 5, 31])
def test_a_row_goes_before_it_comes_again(row: int) -> None:
    """Of a pass that has ended the last rows wait; a LOAD of any of their bytes comes behind their STORE."""
    lowering = Lowering(image(), gates_everywhere(image().graph), live=True)
    context, out = lowering.context, lowering.context.out
    (layer,) = (layer for layer in image().graph.layers if layer.name == "layer1.0.conv2")
    rows = image().rows_for(layer.name, layer.output)
    assert rows is not None
    traffic = RowTraffic(context, Pass.of_layer(layer, image().graph))  # type: ignore[arg-type]
    for step in range(len(Pass.of_layer(layer, image().graph).steps)):  # type: ignore[arg-type]
        traffic.step(step)
    traffic.finish()
    waiting = len(context.postponed)
    assert waiting
    at = rows.dram + row * rows.pitch
    traffic._move((Opcode.LOAD, at, rows.address + rows.ring * rows.pitch, rows.pitch // BEAT_BYTES))
    code = np.array([list(one) for one in out.rows])
    stores = code[code[:, 0] == Opcode.STORE]
    begins = stores[:, column(Opcode.STORE, "dram_address")]
    ends = begins + stores[:, column(Opcode.STORE, "beats")] * BEAT_BYTES
    stored = {byte for begin, end in zip(begins, ends, strict=True) for byte in range(begin, end)}
    assert stored >= set(range(at, at + rows.pitch))
    assert (len(context.postponed) < waiting) == (row == 31)
    assert out.rows[-1][0] == Opcode.LOAD


@given(st.data())
def test_rows_come_early_where_none_is_needed(data: st.DataObject) -> None:
    """As many of the next pass's first rows as have gone, and have places that the pass does not use any more."""
    ring, other = (data.draw(st.integers(2, 12)) for _ in range(2))
    height = data.draw(st.integers(ring, 30))
    before = DramRows(0, height * 16, 16, ring, 1600, shift=data.draw(st.integers(0, ring - 1)))
    behind = DramRows(0, height * 16, 16, other, 1600 + 16 * data.draw(st.integers(-3, 3)))
    behind = replace(behind, shift=data.draw(st.integers(0, other - 1)))
    first = data.draw(st.integers(height - ring, height))
    stored = data.draw(st.integers(0, height))
    writes = data.draw(st.booleans())
    stream = _Stream(before, Use((height,), (first,), (height if writes else 0,)))
    stream.stored = stored
    wanted = data.draw(st.integers(1, min(other, height)))
    places = {1600 + 16 * ((row + before.shift) % ring): row for row in range(height - ring, height)}
    expected = 0
    while expected < (min(wanted, stored) if writes else wanted):
        row = places.get(behind.address + 16 * ((expected + behind.shift) % other))
        if row is None or row >= min(first, stored):
            break
        expected += 1
    assert stream.free_for(behind, wanted, 0) == expected
