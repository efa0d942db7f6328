"""The decision gate of early exits (Shafiee et al., CVPR Workshops 2019, *d-gate*, section 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NEVER = 1e30
"""A threshold that no distance reaches."""


class DecisionGate(nn.Module):
    """A linear classifier that answers for an image if it is far enough from a class's boundary.

    It reads the global average of a map of ``channels``; the paper does not say how features are pooled. The buffer
    ``thresholds`` [classes] has the distances from which on it answers; the paper has one for all classes, as
    ``threshold``. They can be changed at any time.
    """

    thresholds: Tensor

    def __init__(self, channels: int, classes: int, threshold: float) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, classes)
        self.register_buffer("thresholds", torch.full((classes,), float(threshold)))

    @property
    def threshold(self) -> float:
        """The least of the thresholds."""
        return float(self.thresholds.min())

    @threshold.setter
    def threshold(self, value: float) -> None:
        self.thresholds.fill_(value)

    def forward(self, x: Tensor) -> Tensor:
        """Distances [N, classes] to the classes' boundaries, of x [N, C, H, W]; what is largest is the answer."""
        distances: Tensor = self.fc(x.mean((2, 3)))
        return distances

    def answers(self, distances: Tensor) -> Tensor:
        """For which images [N] (bool) the gate answers: a distance reaches the threshold of its class."""
        return (distances >= self.thresholds).any(1)

    def macs(self) -> int:
        """MACs of one decision."""
        return self.fc.in_features * self.fc.out_features
