"""The dividers of the predecoder, as (largest dividend, divisors)."""

from __future__ import annotations

DIVIDERS: dict[str, tuple[int, list[int]]] = {
    "pixel by area": (1023, [edge * edge for edge in range(32)]),
    "pixel by edge": (1023, list(range(32))),
    "columns by edge": (1023 + 31 - 1, list(range(32))),
    "tile by columns": (16383 + 1023, list(range(1024))),
}
