"""Division by one of a few divisors: multiplication by a reciprocal from a table; small quotients by comparison."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.rotation import small_product

MULTIPLIER_BLOCK_BITS = 8
"""Operands of fewer bits are multiplied in look-up tables."""


def reciprocals(largest: int, divisors: Sequence[int]) -> tuple[int, list[int]]:
    """(shift, multipliers) so that ``n * multiplier >> shift`` is n div divisor for all n up to ``largest``.

    With m = ceil(2**shift / d) and its error e = m * d - 2**shift, n * m / 2**shift exceeds n / d by
    n * e / (d * 2**shift). n / d is at most (d - 1) / d above its floor, so the floor is hit if n * e < 2**shift.
    The smallest such shift is taken. A divisor 0 gets multiplier 0, and so quotient 0.
    """
    shift = 0
    while any(largest * (-(1 << shift) % d) >= 1 << shift for d in divisors if d):
        shift += 1
    return shift, [-(-(1 << shift) // d) if d else 0 for d in divisors]


class ReciprocalDivider(wiring.Component):
    """``dividend`` (at most ``largest``) divided by ``divisors[select]``, a new division in every cycle.

    ``quotient`` is there QUOTIENT_LATENCY cycles after its dividend, ``remainder`` REMAINDER_LATENCY cycles, with a
    subtraction behind the last register. A divisor 0 gives quotient 0 and the dividend's low bits.
    """

    QUOTIENT_LATENCY = 3
    """The table, the operands' registers, the product."""
    REMAINDER_LATENCY = QUOTIENT_LATENCY + 1

    def __init__(self, largest: int, divisors: Sequence[int]) -> None:
        self._divisors = tuple(divisors)
        self._shift, self._multipliers = reciprocals(largest, divisors)
        self._quotient_bits = bits_for(largest // min(d for d in divisors if d))
        self._remainder_bits = bits_for(max(max(divisors) - 1, 1))
        super().__init__(
            {
                "dividend": In(bits_for(largest)),
                "select": In(range(len(self._divisors))),
                "quotient": Out(self._quotient_bits),
                "remainder": Out(self._remainder_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The remainder is exact in its few bits, so the divisor and the quotient are only needed in as many.
        mask = (1 << self._remainder_bits) - 1
        row = data.StructLayout({"multiplier": bits_for(max(self._multipliers)), "divisor": self._remainder_bits})
        rows = [
            {"multiplier": multiplier, "divisor": divisor & mask}
            for multiplier, divisor in zip(self._multipliers, self._divisors, strict=True)
        ]
        m.submodules.table = table = memory.Memory(shape=row, depth=len(rows), init=rows)
        read = table.read_port()
        dividend = delayed(m, self.dividend, 1, "dividend")
        # Two registers: those of the multiplier's operands and one behind it, since a block memory is late.
        factor = delayed(m, dividend, 1, "factor")
        multiplier = delayed(m, read.data.multiplier, 1, "multiplier")
        result = Signal(len(dividend) + row["multiplier"].width, reset_less=True)
        divisor = delayed(m, read.data.divisor, self.QUOTIENT_LATENCY - 1, "divisor", early=True)
        last = delayed(m, dividend[: self._remainder_bits], self.REMAINDER_LATENCY - 1, "dividend_low", early=True)
        m.d.comb += read.addr.eq(self.select)
        m.d.sync += result.eq(factor * multiplier)
        m.d.comb += self.quotient.eq(result >> self._shift)
        part = registered_product(m, self.quotient[: self._remainder_bits], divisor, self._remainder_bits, "part")
        # That is last - part; an addition goes into the block of its product.
        m.d.comb += self.remainder.eq(~(~last + part))
        return m


def registered_product(m: Module, value: Value, factor: Value, bits: int, name: str) -> Value:
    """The low ``bits`` of a product, a cycle later. One of few bits is two sums, each in a register."""
    if bits >= MULTIPLIER_BLOCK_BITS:
        product = Signal(bits, name=name, reset_less=True)
        m.d.sync += product.eq(value * factor)
        return product
    half = len(factor) // 2
    low, high = (Signal(bits, name=f"{name}_{end}", reset_less=True) for end in ("low", "high"))
    m.d.sync += [
        low.eq(small_product(value, factor[:half])),
        high.eq(small_product(value, factor[half:]) << half),
    ]
    return (low + high)[:bits]


def _difference(value: Value, less: Value, more: Value) -> Value:
    """``value`` - ``less`` - ``more``, with a sign: three operands become two without a carry."""
    width = max(len(value), len(less) + 1, len(more) + 1) + 1
    a, b, c = (Cat(operand, Const(0, width))[:width] for operand in (value, less, more))
    carries = ((a & ~b) | (a & ~c) | (~b & ~c))[: width - 1]
    # Of the two inverted operands each lacks 1: one comes with the carries, the other with the subtraction.
    return ((a ^ b ^ c) - ~Cat(Const(1, 1), carries))[:width]


def small_quotient(m: Module, dividend: Value, divisor: Value, name: str) -> tuple[Signal, Signal]:
    """(quotient, remainder), two cycles later, by comparisons, two bits of the quotient in each.

    A quotient beyond 15 is given as 15, with a wrong remainder. The divisor has to stand still.
    """
    digits = []
    for place in (2, 0):
        rest = Signal(len(dividend), name=f"{name}_rest_{place}", reset_less=True)
        digit = Signal(2, name=f"{name}_digit_{place}", reset_less=True)
        one, two = dividend - (divisor << place), dividend - (divisor << place + 1)
        three = _difference(dividend, divisor << place, divisor << place + 1)
        high, low = ~two[-1], Mux(two[-1], ~one[-1], ~three[-1])
        m.d.sync += [
            digit.eq(Cat(low, high)),
            rest.eq(Mux(high, Mux(low, three, two), Mux(low, one, dividend))),
        ]
        digits.append(digit)
        dividend = rest
    quotient = Signal(4, name=name)
    m.d.comb += quotient.eq(Cat(digits[1], delayed(m, digits[0], 1, f"{name}_high")))
    return quotient, dividend
