"""Fully connected layers on an average: the product of every pixel, or one summed vector as two digits."""

from __future__ import annotations

from gatewright.compiler.graph.graph import TensorShape
from gatewright.compiler.plan.layout import slices_of
from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import MOST_DIGITS_WINDOW
from gatewright.contract.timing import ACCUMULATOR_LATENCY, EPILOGUE_LATENCY, EPILOGUE_SETUP, GATHER_LATENCY

DIGITS = 2
"""Vectors that a sum becomes."""


def sums_first(shape: TensorShape, filters: int, arch: ArchConfig) -> bool:
    """Whether the map's pixels are summed before the product, which is the same integer: where it takes fewer cycles.

    The sum is one window over a square map; it comes on top of the product, which waits for it.
    """
    pixels = shape.height * shape.width
    if shape.height != shape.width or not DIGITS < pixels <= MOST_DIGITS_WINDOW**2:
        return False
    tiles = slices_of(shape.channels, arch) * -(-filters // arch.columns)
    windows = -(-shape.channels // arch.columns) * (pixels + DIGITS)
    sums = EPILOGUE_SETUP + windows + EPILOGUE_LATENCY + GATHER_LATENCY
    return sums + tiles * max(DIGITS, ACCUMULATOR_LATENCY) < tiles * max(pixels, ACCUMULATOR_LATENCY)


def digits_bytes(shape: TensorShape, filters: int, arch: ArchConfig) -> int:
    """Scratchpad bytes of the summed vector; 0 if there is none."""
    return DIGITS * shape.channels if sums_first(shape, filters, arch) else 0


def digits_name(layer: str) -> str:
    """The name of a layer's summed vector."""
    return f"{layer}.digits"
