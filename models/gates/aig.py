"""The gate of ConvNet-AIG, which leaves out whole residual blocks (Veit & Belongie, ECCV 2018, section 3.2).

Names of layers (``fc1``, ``fc1bn``, ``fc2``) are those of the public release.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.gates.dgnet import straight_through_gate

HIDDEN = 16
"""Neurons, whatever the number of channels."""

OPEN_BIAS = (0.1, 2.0)
"""Initial biases of the logits for skipping and for computing: a gate starts open (public release)."""

SMALL_WEIGHTS = 0.001
"""Initial deviation of the last layer's weights (public release)."""


class LayerGate(nn.Module):
    """Decide from the global average of a block's input whether the block is computed, by the larger of two logits.

    In training logistic noise is added to the difference of the logits, which is the Gumbel noise of the paper on
    either; its temperature is that of the other gates here (``gates.dgnet``).
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.logit_limit: float | None = None
        self.fc1 = nn.Conv2d(in_channels, HIDDEN, kernel_size=1)
        self.fc1bn = nn.BatchNorm1d(HIDDEN)
        self.fc2 = nn.Conv2d(HIDDEN, 2, kernel_size=1)

    def reset_gate(self) -> None:
        """Open the gate."""
        assert self.fc2.bias is not None
        nn.init.normal_(self.fc2.weight, 0.0, SMALL_WEIGHTS)
        with torch.no_grad():
            self.fc2.bias.copy_(torch.tensor(OPEN_BIAS))

    def neurons(self, x: Tensor) -> Tensor:
        """What the logits are made of, [N, 16], of x [N, C, H, W]."""
        return F.relu(self.fc1bn(self.fc1(x.mean((2, 3), keepdim=True)).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the mask [N, 1, 1, 1], values 0 and 1, for x [N, C, H, W]."""
        logits = self.fc2(self.neurons(x)[:, :, None, None])
        if not self.training:
            return logits.argmax(1, keepdim=True).to(logits.dtype)
        return straight_through_gate(logits[:, 1:] - logits[:, :1], True, self.logit_limit)

    def macs(self) -> int:
        """Multiply-accumulates of one decision. What counts is the difference of the logits, which is one filter's."""
        return self.in_channels * HIDDEN + HIDDEN
