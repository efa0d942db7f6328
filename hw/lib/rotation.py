"""Barrel shifters over lanes: two bits of the amount (a 4:1 multiplexer) a level.

Down, where few lanes may be wanted of many, the highest first; up, where few lanes may come, the lowest first: so the
levels between have as few lanes as they can.
"""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

LEVEL_BITS = 2


def _levels(
    m: Module, lanes: Value, amount: Value, move: Callable[[Value, int], Value], name: str, *, lowest_first: bool
) -> Value:
    """``move(lanes, n)`` for the n of ``amount``, by levels."""
    for low in range(0, len(amount), LEVEL_BITS)[:: 1 if lowest_first else -1]:
        choices = [move(lanes, value << low) for value in range(1 << len(amount[low : low + LEVEL_BITS]))]
        for bit in amount[low : low + LEVEL_BITS]:
            choices = [Mux(bit, odd, even) for even, odd in zip(choices[::2], choices[1::2], strict=True)]
        moved = Signal(len(lanes), name=f"{name}_{low}")
        m.d.comb += moved.eq(choices[0])
        lanes = moved
    return lanes


def rotate_down(m: Module, ring: Value, bits: int, amount: Value, name: str) -> Value:
    """Lane i (of ``bits`` bits) of the result is lane i + ``amount`` of the ring."""
    return _levels(m, ring, amount, lambda lanes, count: lanes.rotate_right(count * bits), name, lowest_first=False)


def rotate_up(m: Module, ring: Value, bits: int, amount: Value, name: str) -> Value:
    """Lane i + ``amount`` of the result is lane i of the ring; the inverse of ``rotate_down``."""
    return _levels(m, ring, amount, lambda lanes, count: lanes.rotate_left(count * bits), name, lowest_first=True)


def shift_up(m: Module, lanes: Value, bits: int, amount: Value, size: int, name: str) -> Value:
    """``size`` lanes: lane i + ``amount`` of the result is lane i of ``lanes``; the others are zero."""
    width = size * bits

    def move(value: Value, count: int) -> Value:
        return Cat(Const(0, min(count * bits, width)), value)[:width]

    return _levels(m, Cat(lanes, Const(0, width - len(lanes))), amount, move, name, lowest_first=True)


def product_by_digits(value: Value, triple: Value, factor: Value) -> Value:
    """``value`` * ``factor`` where 3 * ``value`` is at hand: a sum of a choice for each two bits of the factor."""
    choices = (Const(0, 1), value, value << 1, triple)
    digits = [
        Mux(factor[low + 1], Mux(factor[low], choices[3], choices[2]), Mux(factor[low], choices[1], choices[0])) << low
        for low in range(0, len(factor), 2)
    ]
    return sum(digits[1:], digits[0])


def small_product(value: Value, factor: Value) -> Value:
    """A product as a sum of shifted copies: for a factor of a few bits, not worth a multiplier block."""
    copies = [(value & bit.replicate(len(value))) << place for place, bit in enumerate(factor)]
    return sum(copies[1:], copies[0])
