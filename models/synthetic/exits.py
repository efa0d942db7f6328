"""Thresholds of early exits for which given shares of images leave at each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.synthetic.calibration import threshold


@torch.no_grad()
def set_exits(network: EarlyExits, images: Tensor, shares: Sequence[float]) -> None:
    """Set thresholds in order of execution, so that of all images a share leaves at each gate.

    ``images`` [N, 3, size, size] are normalised. What is left of 1 goes to the end. An image counts for a gate if it
    has not left before. Fewer than two images for a gate, or shares that are not between 0 and 1 in all, are a
    ``GatewrightError``.
    """
    gates = network.gates()
    if len(shares) != len(gates) or min(shares) <= 0 or sum(shares) >= 1:
        raise GatewrightError(
            f"shares {list(shares)} for {len(gates)} early exits; give one each, above 0, below 1 in all"
        )
    staying = torch.ones(len(images), dtype=torch.bool)
    for gate, distances, share in zip(gates, network.eval().all_answers(images), shares, strict=False):
        present = distances[staying].amax(1)
        if len(present) < 2:
            raise GatewrightError(f"{len(present)} images are left for an early exit; give more than {len(images)}")
        gate.threshold = threshold(present, share * len(images) / len(present))
        staying &= ~gate.answers(distances)
