"""The interface of the clock edge, for what has registers but does not look at the cycle's number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Edge(Protocol):
    """Something that performs writes at the end of the cycle."""

    def later(self, action: Callable[..., Any], *arguments: Any) -> None:
        """Do ``action(*arguments)`` at the clock edge that ends this cycle."""
