"""At which early exits images leave, and what that takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gatewright.measure.records import ImageRecord

END = "end"
"""What the network's end is called in the place of an exit."""

UNITS: dict[str, str] = {
    "exit": "number of an exit",
    "share": "fraction",
    "cycles_mean": "cycles",
    "cycles_least": "cycles",
    "cycles_most": "cycles",
    "macs_mean": "MACs",
}
"""Of the keys of a row that no other part of a report has."""


def exit_names(images: Sequence[ImageRecord]) -> dict[int, str]:
    """The name of each exit at which any image leaves, by number, in order; none in a network without early exits."""
    found = {}
    for image in images:
        if image.exit is not None:
            names = [gate.name for gate in image.run.gates if gate.kind == "exit"]
            found[image.exit] = names[image.exit] if image.exit < len(names) else END
    return dict(sorted(found.items()))


def exit_rows(images: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    """One row for each exit at which any image leaves, in order; none for a network without early exits.

    The mean cycles of all images are the sum over exits of share times mean cycles.
    """
    rows = []
    for number, name in exit_names(images).items():
        those = [image for image in images if image.exit == number]
        cycles = np.array([image.run.cycles for image in those])
        rows.append(
            {
                "exit": number,
                "name": name,
                "images": len(those),
                "share": len(those) / len(images),
                "cycles_mean": float(cycles.mean()),
                "cycles_least": int(cycles.min()),
                "cycles_most": int(cycles.max()),
                "macs_mean": float(np.mean([image.run.macs for image in those])),
            }
        )
    return rows
