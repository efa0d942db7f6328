"""Gates moved without training: all thresholds by one number, until so much of the network's work is left.

A gate decides logit >= 0, so a number taken from its logits closes first what was nearest to being closed. It is one
number for all gates of a kind, and gates behind see other inputs: the share of MACs is measured for each number tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.network import Network
from gatewright.models.gates.dgnet import ChannelGate, SpatialGate
from gatewright.models.training.evaluation import evaluate_float

Moved = Literal["spatial", "channel", "both"]
"""Which gates are moved."""

LARGEST = 64.0
"""Largest number that is tried: logits of trained gates are some ten."""

HALVINGS = 12
"""Of the range in which the number lies, which is at most as wide as half of ``LARGEST``."""


@dataclass(frozen=True)
class Shift:
    """What was taken from the gates' logits, and the mean share of MACs left of the images that were looked at."""

    amount: float
    mac_ratio: float


def movable_gates(network: Network, moved: Moved) -> list[SpatialGate | ChannelGate]:
    """The gates of the kinds that are moved, in order of execution; none is a ``GatewrightError``."""
    kinds = {"spatial": (SpatialGate,), "channel": (ChannelGate,), "both": (SpatialGate, ChannelGate)}[moved]
    gates = [gate for block in network.blocks() for gate in block.gates() if isinstance(gate, kinds)]
    if not gates:
        wanted = "spatial or channel" if moved == "both" else moved
        raise GatewrightError(f"the network has no {wanted} gates whose thresholds could be moved")
    return gates  # type: ignore[return-value]


@torch.no_grad()
def shift_gates(gates: Iterable[SpatialGate | ChannelGate], amount: float) -> None:
    """Take ``amount`` from the logits of gates."""
    for gate in gates:
        assert gate.last_layer.bias is not None
        gate.last_layer.bias.sub_(amount)


def shift_to(network: Network, images: ImageSet, share: float, moved: Moved) -> Shift:
    """Move the network's gates by the least number at which at most ``share`` of its MACs is left, mean over images.

    ``share`` is above 0 and at most 1. A share that no number up to ``LARGEST`` gives is a ``GatewrightError`` that
    says which can be had, and the gates are where they were.
    """
    gates = movable_gates(network, moved)
    at = 0.0

    def left(amount: float) -> float:
        nonlocal at
        shift_gates(gates, amount - at)
        at = amount
        return float(str(evaluate_float(network, images)["mac_ratio"]))

    ratio = left(0.0)
    closing, end, reach = ratio > share, 0.0, 1.0
    while (ratio > share) == closing:
        if reach > LARGEST:
            left(0.0)
            most = "least" if closing else "most"
            raise GatewrightError(
                f"{100 * share:g}% of the MACs cannot be had with {moved} gates moved: the {most} is {100 * ratio:.1f}%"
            )
        before, end = end, reach if closing else -reach
        ratio, reach = left(end), 2 * reach
    open_at, closed_at = (before, end) if closing else (end, before)
    for _ in range(HALVINGS):
        middle = (open_at + closed_at) / 2
        if left(middle) > share:
            open_at = middle
        else:
            closed_at = middle
    return Shift(closed_at, left(closed_at))
