"""Registers that carry a value along a pipeline."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal, Value


def delayed(m: Module, value: Any, cycles: int, name: str, *, early: bool = False) -> Any:
    """``value`` (a plain value or a view of a layout) ``cycles`` clock cycles later.

    Without reset, so that synthesis may use shift registers in LUTs. What comes out of one is late in its cycle:
    with ``early`` the last register has a reset, which keeps it out.
    """
    shape = value.shape() if isinstance(value, Value) else type(value).shape(value)
    for cycle in range(cycles):
        stage = Signal(shape, name=f"{name}_{cycle + 1}", reset_less=not early or cycle + 1 < cycles)
        m.d.sync += stage.eq(value)
        value = stage
    return value
