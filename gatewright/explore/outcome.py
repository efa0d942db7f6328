"""What is known of a point once it was tried: its figures, or why there are none."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gatewright.contract.arch import ArchConfig
from gatewright.contract.schema import parse
from gatewright.explore.objectives import Area
from gatewright.explore.space import Value

Refuser = Literal["machine", "board", "network"]


@dataclass(frozen=True)
class Refusal:
    """Why a point is none: no such ``machine``, the ``board`` is too small, or a ``network`` does not fit."""

    by: Refuser
    reason: str
    excess: float
    """How far it is off, relative to what would do, where that is known; 1 elsewhere."""


@dataclass(frozen=True)
class Outcome:
    """A point that was tried, the ``number``-th different one of its search.

    ``arch`` is None where there is no such machine, ``area`` where there is no arch, and ``cycles`` (of each network's
    images) are empty where the point is refused.
    """

    number: int
    values: dict[str, Value]
    arch: ArchConfig | None
    area: Area | None
    cycles: dict[str, tuple[int, ...]] = field(default_factory=dict)
    refused: Refusal | None = None

    @property
    def name(self) -> str:
        """As it is called in folders and on the page."""
        return point_name(self.number)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``from_dict`` reads it."""
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any], origin: str) -> Outcome:
        """The inverse of ``to_dict``."""
        return parse(Outcome, data, origin, "the file is not one that gatewright explore wrote")


def point_name(number: int) -> str:
    """The name of a search's ``number``-th point."""
    return f"p{number:04}"
