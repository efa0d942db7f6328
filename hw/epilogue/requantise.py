"""Requantisation of a lane: product, shift with rounding, saturation; the stages of ``gatewright.contract.arithmetic``.

round(v * multiplier / 2**shift), half up, is (d + 1) >> 1 with d = v * multiplier >> (shift - 1). All that can matter
of d behind the last saturation, to int8, are HALF_BITS bits and whether it exceeds them: a residual is one byte. So
the saturation at int16 in between needs no hardware.
"""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from gatewright.contract.arithmetic import ACCUMULATOR_BITS, INT8_MAX, INT8_MIN, MULTIPLIER_BITS, SHIFT_MAX
from gatewright.hw.lib.rotation import rotate_down

VALUE_BITS = ACCUMULATOR_BITS + 1
"""An accumulator entry plus a bias."""
PRODUCT_LATENCY = 2
"""Both halves' products, their sum."""
STEP_BITS = SHIFT_MAX.bit_length()
"""Bits of a shift less one."""
HALF_BITS = 11
_COARSE = 16
_WINDOW = HALF_BITS + _COARSE - 1
_LOW_BITS = 17
"""Bits of a value's lower part: what a multiplier's cascade shifts by."""

HALVES = data.StructLayout({"value": signed(HALF_BITS), "exceeds": 1, "negative": 1})
"""Twice the result, before rounding; where it ``exceeds`` HALF_BITS only its sign is right."""


def product(m: Module, value: Value, multiplier: Value, name: str) -> Value:
    """``value`` (signed, VALUE_BITS) times ``multiplier`` (unsigned), PRODUCT_LATENCY cycles later, signed.

    Two multipliers for the parts of the value, registers behind them, then the sum of what overlaps.
    """
    low = Signal(_LOW_BITS + MULTIPLIER_BITS, name=f"{name}_low", reset_less=True)
    high = Signal(signed(VALUE_BITS - _LOW_BITS + MULTIPLIER_BITS), name=f"{name}_high", reset_less=True)
    top = Signal(signed(VALUE_BITS - _LOW_BITS + MULTIPLIER_BITS), name=f"{name}_top", reset_less=True)
    bottom = Signal(_LOW_BITS, name=f"{name}_bottom", reset_less=True)
    m.d.sync += [
        low.eq(value[:_LOW_BITS] * multiplier),
        high.eq(value[_LOW_BITS:].as_signed() * multiplier),
        bottom.eq(low[:_LOW_BITS]),
        top.eq(high + (low >> _LOW_BITS)),
    ]
    return Cat(bottom, top).as_signed()


def halves(m: Module, value: Value, step: Value, name: str) -> Any:
    """``value >> step`` as HALVES, two cycles later: first the multiples of 16, then the rest."""
    wide = len(value)
    sign = value[-1]

    def bits(begin: int, end: int) -> Value:
        return Cat(value[i] if i < wide else sign for i in range(begin, end))

    window = Signal(_WINDOW, name=f"{name}_window", reset_less=True)
    beyond, negative = Signal(name=f"{name}_beyond", reset_less=True), Signal(name=f"{name}_sign", reset_less=True)
    fine = Signal(range(_COARSE), name=f"{name}_fine", reset_less=True)
    with m.Switch(step[len(fine) :]):
        for coarse in range(1 << (STEP_BITS - len(fine))):
            begin = coarse * _COARSE
            with m.Case(coarse):
                m.d.sync += window.eq(bits(begin, begin + _WINDOW))
                if begin + _WINDOW < wide:
                    above = bits(begin + _WINDOW, wide)
                    m.d.sync += beyond.eq(above.any() & ~(sign & above.all()))
                else:
                    m.d.sync += beyond.eq(0)
    m.d.sync += [fine.eq(step), negative.eq(sign)]

    result = Signal(HALVES, name=f"{name}_halves", reset_less=True)
    # Bit HALF_BITS - 1 + i of the window is the sign of what is kept, or above it, for fine shifts up to i.
    differs = [(window[HALF_BITS - 1 + i] ^ negative) & (fine <= i) for i in range(_COARSE)]
    m.d.sync += [
        result.value.eq(rotate_down(m, window, 1, fine, f"{name}_fine")[:HALF_BITS]),
        result.exceeds.eq(beyond | Cat(differs).any()),
        result.negative.eq(negative),
    ]
    return result


def halves_shared(m: Module, value: Value, step: Value, above: Value, name: str) -> Any:
    """``value >> step`` as HALVES, one cycle later, for lanes with one ``step``.

    ``above``: a mask of the bits of ``value`` from ``step`` + HALF_BITS - 1 on, see ``above_halves``.
    """
    result = Signal(HALVES, name=f"{name}_halves", reset_less=True)
    sign = value[-1]
    # As many signs above it as the longest shift reaches into.
    ring = Cat(value, sign.replicate(max(0, HALF_BITS + (1 << STEP_BITS) - 1 - len(value))))
    m.d.sync += [
        result.value.eq(rotate_down(m, ring, 1, step, f"{name}_shifted")[:HALF_BITS]),
        result.exceeds.eq(((value ^ sign.replicate(len(value))) & above).any()),
        result.negative.eq(sign),
    ]
    return result


def above_halves(step: Value, width: int) -> Value:
    """The mask for ``halves_shared``: bit i is 1 if i is at least ``step`` + HALF_BITS - 1."""
    return Cat(step + (HALF_BITS - 1) <= i for i in range(width))


def saturated(lane: Any, addend: Value, relu: Value) -> Value:
    """The int8 result, in the same cycle: rounded, with a signed byte added, clipped (from 0 with ``relu``)."""
    total = ((lane.value + (addend.as_signed() << 1) + 1) >> 1).as_signed()
    lowest = Mux(relu, 0, INT8_MIN & 0xFF)
    over = Mux(lane.exceeds, ~lane.negative, total > INT8_MAX)
    under = Mux(lane.exceeds, lane.negative, Mux(relu, total[-1], total < INT8_MIN))
    return Mux(over, INT8_MAX, Mux(under, lowest, total[:8]))
