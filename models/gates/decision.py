"""The decision gate of early exits (Shafiee et al., CVPR Workshops 2019, *d-gate*, section 2.2)."""

from __future__ import annotations

from torch import Tensor, nn


class DecisionGate(nn.Module):
    """A linear classifier that answers for an image if it is far enough from its boundaries.

    It reads the global average of a map of ``channels``; the paper does not say how features are pooled. ``threshold``
    is the distance from which on it answers; it can be changed at any time.
    """

    def __init__(self, channels: int, classes: int, threshold: float) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, classes)
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Distances [N, classes] to the classes' boundaries, of x [N, C, H, W]; what is largest is the answer."""
        distances: Tensor = self.fc(x.mean((2, 3)))
        return distances

    def answers(self, distances: Tensor) -> Tensor:
        """For which images [N] (bool) the gate answers: the largest distance reaches the threshold."""
        return distances.amax(1) >= self.threshold

    def macs(self) -> int:
        """MACs of one decision."""
        return self.fc.in_features * self.fc.out_features
