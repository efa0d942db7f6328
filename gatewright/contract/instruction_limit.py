"""How many instructions of an image a model executes before it calls the program an endless loop."""

from __future__ import annotations

LEAST = 250_000
"""Of a short program."""


def instruction_limit(instructions: int) -> int:
    """Instructions that an image may take of a program that has so many.

    The compiler's programs run each of theirs once at most; one that goes back, to end by an EXIT, has as many again.
    """
    return max(LEAST, 2 * instructions)
