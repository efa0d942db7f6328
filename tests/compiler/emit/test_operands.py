"""The words of the patch buffer that an instruction is said to read or write are those that it touches."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.compiler.emit.operands import Patches
from gatewright.compiler.plan.filters import Slices


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 8), st.data())
def test_words_of_some_vectors_of_every_slice(base: int, groups: int, slices: int, data: st.DataObject) -> None:
    vectors = 4 * groups
    first = data.draw(st.integers(0, vectors - 1))
    count = data.draw(st.integers(1, vectors - first))
    spans = Patches(base, vectors, Slices(0, slices)).words(first, count)
    said = {word for low, high in spans for word in range(low, high)}
    touched = {base + number * vectors + first + vector for number in range(slices) for vector in range(count)}
    assert touched <= said
    if count <= vectors - 4:
        assert said == touched
