"""A tile's averages, sums or maxima: what adds up behind the lanes' bytes, and a requantisation of its own."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal, signed

from gatewright.contract.arithmetic import INT8_MIN, MULTIPLIER_BITS
from gatewright.contract.encodings import DIGIT_BITS
from gatewright.hw.epilogue.requantise import HALF_BITS, STEP_BITS, above_halves, halves_shared
from gatewright.hw.epilogue.stages import BIAS, COLLECT, POOLED
from gatewright.hw.lib.delay import delayed

SUM_BITS = 18
"""The sum of a tile's bytes, or of a window's."""


def averages(
    m: Module, values: Any, outside: Any, *, kinds: list[Any], details: list[Any], work: Any, kept: Any, parameter: Any
) -> list[Any]:
    """Of lanes' ``values`` in stage COLLECT, 0 or least where ``outside``: as HALVES in stage OUTPUT.

    ``kinds`` and ``details`` are slots by their stage, ``kept`` what is known of their instruction behind ADDRESS.
    All lanes share one ``parameter``, which comes in stage BIAS.

    Of digits the product is twice the sum. Shifted by DIGIT_BITS it is twice the upper one, but for the lowest bit,
    which would round; unshifted its lower bits are twice the lower one.
    """
    kind = kinds[COLLECT]
    multiplier, step = Signal(MULTIPLIER_BITS, reset_less=True), Signal(STEP_BITS, reset_less=True)
    with m.If(kinds[BIAS].pool):
        m.d.sync += [
            multiplier.eq(Mux(work.split, 2, parameter.multiplier)),
            step.eq(Mux(work.split, DIGIT_BITS, parameter.shift - 1)),
        ]
    low = kept.split & details[POOLED - 1].lane[0]
    shift = Signal(STEP_BITS, reset_less=True)
    m.d.sync += shift.eq(Mux(low, 0, step))
    lower = delayed(m, low, 1, "lower")
    width = SUM_BITS + len(multiplier)
    above = Signal(width, reset_less=True)
    m.d.sync += above.eq(above_halves(step, width))
    # Registers with a reset, which stay out of shift registers: a tile's first pixel; its value alone counts.
    first, fresh = Signal(), Signal()
    before = details[COLLECT - 1].first
    m.d.sync += [first.eq(before), fresh.eq(before | kept.maximum)]
    results = []
    for lane, value in enumerate(values):
        tile_sum = Signal(signed(SUM_BITS), name=f"tile_sum_{lane}", reset_less=True)
        partial = Signal(signed(width), name=f"average_product_{lane}", reset_less=True)
        scaled = Signal(signed(width), name=f"average_{lane}", reset_less=True)
        added = Mux(outside, Mux(kept.maximum, INT8_MIN & 0xFF, 0), value).as_signed()
        with m.If(kind.entry & (~kept.maximum | first | (added > tile_sum[:8].as_signed()))):
            m.d.sync += tile_sum.eq(added + Mux(fresh, 0, tile_sum))
        m.d.sync += [partial.eq(tile_sum * multiplier), scaled.eq(partial)]
        average = halves_shared(m, scaled, shift, above, f"average_{lane}")
        twice = average.as_value()[:HALF_BITS]
        with m.If(kept.split):
            m.d.sync += twice[0].eq(0)
        with m.If(lower):
            m.d.sync += twice[DIGIT_BITS + 1 :].eq(0)
        results.append(average)
    return results
