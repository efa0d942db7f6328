"""The gate of DDI's channel skipping in DenseNets (Wang et al. 2020, *Dual Dynamic Inference*, supplement, section 7).

Its first two layers are shaped like the dense layer that it decides about, with a stride of 2 in the first and half the
channels. What follows is not in the paper: an average and a linear layer. Nor is it said which channels are skipped:
here those between the two convolutions, since what lies in a concatenation is read by all that follows.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.gates.dgnet import GATE_BIAS, straight_through_gate


class DenseLayerGate(nn.Module):
    """Decide for each of ``channels`` of a dense layer that adds ``growth``; it reads what the first convolution reads.

    ``height`` and ``width`` are those of the map.
    """

    def __init__(self, in_channels: int, channels: int, growth: int, height: int, width: int) -> None:
        super().__init__()
        self.in_channels, self.channels, self.growth = in_channels, channels, growth
        self.pixels = -(-height // 2) * -(-width // 2)
        self.logit_limit: float | None = None
        self.conv1 = nn.Conv2d(in_channels, channels // 2, 1, 2, bias=False)
        self.norm1 = nn.BatchNorm2d(channels // 2)
        self.conv2 = nn.Conv2d(channels // 2, growth, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(growth)
        self.fc = nn.Conv2d(growth, channels, 1)

    def reset_gate(self) -> None:
        """Open the gate."""
        assert self.fc.bias is not None
        nn.init.constant_(self.fc.bias, GATE_BIAS)

    def features(self, x: Tensor) -> Tensor:
        """What the logits are made of, [N, growth, 1, 1], of x [N, C, H, W]."""
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x))).mean((2, 3), keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mask [N, channels, 1, 1], values 0 and 1, for x [N, C, H, W]."""
        return straight_through_gate(self.fc(self.features(x)), self.training, self.logit_limit)

    def macs(self) -> int:
        """Multiply-accumulates of one decision."""
        half = self.channels // 2
        return self.pixels * half * (self.in_channels + 9 * self.growth) + self.growth * self.channels
