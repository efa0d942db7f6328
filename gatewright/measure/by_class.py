"""What gates decide for the images of each class, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.measure.exit_statistics import exit_names
from gatewright.measure.records import ImageRecord

UNITS: dict[str, str] = {
    "share_by_class": "fraction",
    "share_mean": "fraction",
    "deviation_by_class": "standard deviations",
    "between_classes": "fraction",
    "between_classes_by_chance": "fraction",
}
"""Of the keys that no other part of a report has."""


def class_statistics(images: Sequence[ImageRecord]) -> dict[str, Any] | None:
    """Classes, a row for each gate, a row for each early exit and the network's end.

    None unless every image has a label, and for a network without gates and exits.

    ``share_by_class`` is the mean share of a gate's decisions that is on, or the share of images that leave;
    ``share_mean`` is that of all images.
    ``deviation_by_class`` is how far a class's mean lies from that of all images, in standard deviations of the mean
    of as many images taken at random. ``between_classes`` is the share of the variance between images that lies
    between classes (the correlation ratio squared), and ``between_classes_by_chance`` what labels dealt at random would
    give on average. A gate behind an early exit is about the images that see it; classes without any have None.
    """
    if any(image.label is None for image in images):
        return None
    labels = np.array([image.label for image in images])
    gates = max((image.run.gates for image in images), key=len)
    exits = exit_names(images)
    if not gates and not exits:
        return None
    classes = sorted(set(labels.tolist()))
    rows = []
    for place, gate in enumerate(gates):
        if gate.kind != "exit":
            seen = [len(image.run.gates) > place for image in images]
            own = np.array([i.run.gates[place].decision.mean() for i, s in zip(images, seen, strict=True) if s])
            means, rest = _by_class(own, labels[seen], classes)
            rows.append({"name": gate.name, "kind": gate.kind, "share_by_class": means, **rest})
    leaving = []
    for number, name in exits.items():
        means, rest = _by_class(np.array([float(image.exit == number) for image in images]), labels, classes)
        leaving.append({"name": name, "share_by_class": means, **rest})
    return {
        "classes": [{"label": label, "images": int((labels == label).sum())} for label in classes],
        "gates": rows,
        "exits": leaving,
    }


def _by_class(
    values: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], classes: Sequence[int]
) -> tuple[list[float | None], dict[str, Any]]:
    """The mean of each class, None of those without a value, and how much is due to them."""
    count, mean, variance = len(values), values.mean(), values.var()
    parts = [values[labels == label] for label in classes]
    means = [float(part.mean()) if len(part) else None for part in parts]
    between = sum(len(part) * (part.mean() - mean) ** 2 for part in parts if len(part))
    there = sum(len(part) > 0 for part in parts)
    # Rounding leaves a tiny variance where all values are the same: at least one decision in so many, or none.
    varies = bool((values != values[0]).any())

    def deviation(part: npt.NDArray[np.float64]) -> float | None:
        if not len(part):
            return None
        if not varies or len(part) == count:
            return 0.0
        spread = np.sqrt(variance / len(part) * (count - len(part)) / (count - 1))
        return float((part.mean() - mean) / spread)

    return means, {
        "share_mean": float(mean),
        "deviation_by_class": [deviation(part) for part in parts],
        "between_classes": float(between / (count * variance)) if varies else 0.0,
        "between_classes_by_chance": (there - 1) / (count - 1) if varies else 0.0,
    }
