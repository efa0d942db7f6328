"""Pickles that call something when they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.reduced
