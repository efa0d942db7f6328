"""One processing element of the grid, in the form that fits a multiplier block with its registers and its adder."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal, signed
from amaranth.utils import ceil_log2

OPERAND_BITS = 8
PRODUCT_BITS = 2 * OPERAND_BITS


def sum_bits(rows: int) -> int:
    """Bits of a signed sum of ``rows`` products; also (-128) * (-128) every time fits."""
    return PRODUCT_BITS + ceil_log2(rows)


class ProcessingElement:
    """The registers of PE(row, column); ``activation`` goes on to the right, ``total`` downwards.

    activation -> product (with the active weight) -> total (with the total from above): three registers in a row. The
    weight is loaded in the background: ``capture`` takes a value into the shadow register, ``swap`` makes it the
    active one, for the activation that comes with it.
    """

    def __init__(self, row: int, column: int, rows: int) -> None:
        def register(name: str, bits: int) -> Signal:
            return Signal(signed(bits), name=f"{name}_{row}_{column}", reset_less=True)

        self.activation = register("activation", OPERAND_BITS)
        self.shadow = register("shadow", OPERAND_BITS)
        self.active = register("active", OPERAND_BITS)
        self.product = register("product", PRODUCT_BITS)
        self.total = register("total", sum_bits(rows))

    def clocked(self, m: Module, *, activation: Any, weight: Any, capture: Any, swap: Any, above: Any) -> None:
        """The registers' inputs. What comes in in cycle t is in ``total`` in cycle t + 3, ``above`` a cycle later."""
        m.d.sync += [
            self.activation.eq(activation),
            self.product.eq(self.activation * self.active),
            self.total.eq(above + self.product),
        ]
        with m.If(swap):
            m.d.sync += self.active.eq(self.shadow)
        with m.If(capture):
            m.d.sync += self.shadow.eq(weight)
