"""What the gates decided over many images, and the picture of it over one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError
from gatewright.measure.records import GateDecision, ImageRecord


def gate_rows(images: Sequence[ImageRecord], flips: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row per gate: its densities and how its decisions depend on the image.

    A decision that is on for all ``images`` is always on, off for all always off, and otherwise
    input-dependent; the three shares sum to 1. ``flips`` gives, per gate, the share of its
    decisions that int8 arithmetic turns over; its keys must be the gates' names. In a network with early exits a row is
    about the images that see the gate, and gates that none sees have no row.
    """
    longest = max((image.run.gates for image in images), key=len)
    names = [gate.name for gate in longest]
    leaves = any(gate.kind == "exit" for gate in longest)
    for image in images:
        own = [gate.name for gate in image.run.gates]
        if own != (names[: len(own)] if leaves else names):
            raise GatewrightError(f"image {image.index} has other gates than image {images[0].index}; use one network")
    odd = set(names) - set(flips) if leaves else set(flips) ^ set(names)
    if odd:
        raise GatewrightError(
            f"the flip rates must name every gate once and nothing else; look at {', '.join(sorted(odd))}"
        )
    seen = [[image.run.gates[i] for image in images if len(image.run.gates) > i] for i in range(len(names))]
    return [_row(decided, flips[name]) for name, decided in zip(names, seen, strict=True)]


def _row(gates: Sequence[GateDecision], flip_rate: float) -> dict[str, Any]:
    decisions = np.stack([gate.decision for gate in gates])
    always_on, ever_on = decisions.all(axis=0), decisions.any(axis=0)
    row: dict[str, Any] = {
        "name": gates[0].name,
        "kind": gates[0].kind,
        "decisions": int(gates[0].decision.size),
        "density_mean": float(decisions.mean()),
        "always_on": float(always_on.mean()),
        "always_off": float((~ever_on).mean()),
        "input_dependent": float((ever_on & ~always_on).mean()),
        "flip_rate": float(flip_rate),
    }
    if gates[0].kind == "spatial":
        row["grid_height"], row["grid_width"] = (int(n) for n in gates[0].decision.shape)
    return row


def overall_flip_rate(rows: Sequence[Mapping[str, Any]]) -> float:
    """The share of all decisions that int8 turns over; 0 for a network without gates."""
    decisions = sum(row["decisions"] for row in rows)
    return float(sum(row["flip_rate"] * row["decisions"] for row in rows) / decisions) if decisions else 0.0


def cost_map(gates: Sequence[GateDecision], height: int, width: int) -> npt.NDArray[np.int64]:
    """The paper's spatial cost map: per pixel of the image, how many blocks are executed there.

    Every spatial mask is enlarged to [height, width] by nearest neighbour, and the masks are added.
    """
    total = np.zeros((height, width), np.int64)
    for gate in gates:
        if gate.kind == "spatial":
            rows, columns = gate.decision.shape
            y = np.arange(height) * rows // height
            x = np.arange(width) * columns // width
            total += gate.decision[np.ix_(y, x)]
    return total
