"""What a run gives: of each image, of each start, and of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .counters import Counters


@dataclass(frozen=True)
class ImageResult:
    """What an image has given: outputs by name, and the number of the exit at which it left (the end's is the last)."""

    outputs: dict[str, Any]
    left: int

    @property
    def logits(self) -> Any:
        """Those that are its answer, int32 [classes]; None if all outputs are maps."""
        found = [values for values in self.outputs.values() if values.ndim == 1]
        return found[-1] if found else None


@dataclass(frozen=True)
class StartResult:
    """A start: its images' results, in order, and what the machine has counted."""

    images: list[ImageResult]
    counters: Counters


@dataclass(frozen=True)
class RunResult:
    """Several starts: all images' results, each start's counters, and the host's seconds, with all copies."""

    images: list[ImageResult]
    starts: list[Counters]
    seconds: float


def belonging_to(values: dict[str, Any], number: int, images: int) -> dict[str, Any]:
    """Of a run of several images, the outputs of one, by the names that they have alone."""
    end = f"@{number}" if images > 1 else ""
    return {name[: len(name) - len(end)]: value for name, value in values.items() if name.endswith(end)}
