"""A column of processing elements, each in the form that fits a multiplier block with its registers and its adder."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal, signed

OPERAND_BITS = 8
PRODUCT_BITS = 2 * OPERAND_BITS


def sum_bits(rows: int) -> int:
    """Bits of a signed sum of ``rows`` products; also (-128) * (-128) every time fits."""
    return PRODUCT_BITS - 1 + rows.bit_length()


class ProcessingElement:
    """The registers of PE(row, column); ``onward`` goes on to the right, ``total`` downwards.

    activation -> product (with the active weight) -> total (with the total from above): three registers in a row. The
    weight is loaded in the background: ``capture`` takes a value into the shadow register, ``swap`` makes it the
    active one, for the activation that comes with it.
    """

    def __init__(self, row: int, column: int, rows: int) -> None:
        def register(name: str, bits: int) -> Signal:
            return Signal(signed(bits), name=f"{name}_{row}_{column}", reset_less=True)

        self.activation = self.onward = register("activation", OPERAND_BITS)
        self.shadow = register("shadow", OPERAND_BITS)
        self.active = register("active", OPERAND_BITS)
        self.product = register("product", PRODUCT_BITS)
        self.total = register("total", sum_bits(rows))

    def clocked(
        self, m: Module, *, activation: Any, weights: list[Any], captures: list[Any], swap: Any, above: Any
    ) -> None:
        """The registers' inputs. What comes in in cycle t is in ``total`` in cycle t + 3, ``above`` a cycle later."""
        (weight,), (capture,) = weights, captures
        m.d.sync += [
            self.activation.eq(activation),
            self.product.eq(self.activation * self.active),
            self.total.eq(above + self.product),
        ]
        with m.If(swap):
            m.d.sync += self.active.eq(self.shadow)
        with m.If(capture):
            m.d.sync += self.shadow.eq(weight)


class Column:
    """A column of ``rows`` processing elements; its sums leave the last one."""

    registers_behind = 0
    """Registers between the last row's total and the sums."""

    def __init__(self, rows: int, column: int) -> None:
        self.columns = [column]
        self.elements = [ProcessingElement(row, column, rows) for row in range(rows)]

    def above(self, row: int) -> Any:
        """What a row's element adds its product to."""
        return self.elements[row - 1].total if row else 0

    def sums(self, m: Module) -> list[Any]:
        """The sums of ``columns``."""
        return [self.elements[-1].total]
