"""Two neighbouring columns of the grid that share a multiplier block in each row."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Signal, signed

from gatewright.hw.array.processing_element import OPERAND_BITS, PRODUCT_BITS, sum_bits
from gatewright.hw.lib.delay import delayed

LOW_BITS = 18
"""Bits of the first column's products in the packed ones: what a 27-bit operand leaves beside a weight and a borrow."""
PACKED_BITS = LOW_BITS + OPERAND_BITS + 1
CHAIN_ROWS = (2 ** (LOW_BITS - 1) - 1) // 2 ** (PRODUCT_BITS - 2)
"""Rows whose packed products may be added: the low field holds also (-128) * (-128) every time."""


class PackedElement:
    """The registers of a row of a packed pair; ``onward`` goes on to the right, ``total`` downwards.

    The weights of both columns are one operand, ``second * 2**18 + first``, so a product holds both columns' products:
    the low 18 bits, signed, are the first column's, and the others the second's less the first's sign bit. So it
    is for a sum of up to ``CHAIN_ROWS`` products. Both columns act in the cycle in which the first one would alone;
    an activation needs two cycles to pass.
    """

    def __init__(self, row: int, column: int) -> None:
        def register(name: str, bits: int) -> Signal:
            return Signal(signed(bits), name=f"{name}_{row}_{column}", reset_less=True)

        self.activation = register("activation", OPERAND_BITS)
        self.onward = register("onward", OPERAND_BITS)
        self.shadows = register("shadow", OPERAND_BITS), register("shadow_second", OPERAND_BITS)
        self.active = register("active", PACKED_BITS)
        self.product = register("product", PACKED_BITS + OPERAND_BITS)
        self.total = register("total", 2 * LOW_BITS)

    def clocked(
        self, m: Module, *, activation: Any, weights: list[Any], captures: list[Any], swap: Any, above: Any
    ) -> None:
        """The registers' inputs: ``weights`` and ``captures`` of both columns, all else as in ProcessingElement."""
        first, second = self.shadows
        m.d.sync += [
            self.activation.eq(activation),
            self.onward.eq(self.activation),
            self.product.eq(self.activation * self.active),
            self.total.eq(above + self.product),
        ]
        with m.If(swap):
            m.d.sync += self.active.eq((second << LOW_BITS) + first)
        for shadow, weight, capture in zip(self.shadows, weights, captures, strict=True):
            with m.If(capture):
                m.d.sync += shadow.eq(weight)


class PackedPair:
    """Columns ``column`` and ``column + 1`` from top to bottom, in chains of at most ``CHAIN_ROWS`` rows."""

    registers_behind = 1
    """Registers between the last row's total and the sums: a chain is split and added to those above in one cycle."""

    def __init__(self, rows: int, column: int) -> None:
        self.columns = [column, column + 1]
        self.elements = [PackedElement(row, column) for row in range(rows)]

    def above(self, row: int) -> Any:
        """What a row's element adds its product to: a chain begins with nothing."""
        return self.elements[row - 1].total if row % CHAIN_ROWS else 0

    def sums(self, m: Module) -> list[Any]:
        """The signed sums of ``columns``."""
        sums: list[Any] = [Const(0, signed(LOW_BITS)), Const(0, signed(LOW_BITS))]
        rows = len(self.elements)
        for start in range(0, rows, CHAIN_ROWS):
            end = min(start + CHAIN_ROWS, rows)
            total = self.elements[end - 1].total
            low, high = total[:LOW_BITS].as_signed(), total[LOW_BITS:].as_signed()
            # The sums so far wait for this chain's, less the register that takes the addition.
            wait = end - start - 1 if start else 0
            first, second = (
                _delayed_to_adder(m, value, wait, f"above_{start}_{column}")
                for value, column in zip(sums, self.columns, strict=True)
            )
            sums = [
                Signal(signed(sum_bits(end)), name=f"sum_to_{end}_{column}", reset_less=True) for column in self.columns
            ]
            m.d.sync += [
                sums[0].eq(first + low),
                # What the low field borrowed comes back as the carry into the sum.
                sums[1].eq((Cat(1, second).as_signed() + Cat(low[-1], high).as_signed()) >> 1),
            ]
        return sums


def _delayed_to_adder(m: Module, value: Any, cycles: int, name: str) -> Any:
    """``value`` later. The last register has a reset: it stays out of shift registers, whose output is late to add."""
    if not cycles:
        return value
    register = Signal.like(value, name=name, reset_less=False)
    m.d.sync += register.eq(delayed(m, value, cycles - 1, f"{name}_wait"))
    return register
