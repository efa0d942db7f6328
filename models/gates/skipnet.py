"""The feed-forward gate of SkipNet, which leaves out whole residual blocks (Wang et al., ECCV 2018, section 3.2).

It is the second of the paper's, of one convolution. The first begins with a max pool of a sum, which the compiler does
not take; the recurrent one has sigmoids. Names of layers are those of the public release.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.models.gates.dgnet import GATE_BIAS, limited


class FeedForwardGate(nn.Module):
    """Decide from a block's input whether the block is computed: a 3x3 convolution of stride 2, an average, two logits.

    ``height`` and ``width`` are those of the input. In training there is no noise: the decision is hard, the gradient
    that of the probability.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.channels, self.pixels = channels, -(-height // 2) * -(-width // 2)
        self.logit_limit: float | None = None
        self.conv1 = nn.Conv2d(channels, channels, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.linear_layer = nn.Conv2d(channels, 2, kernel_size=1)

    def reset_gate(self) -> None:
        """Open the gate."""
        assert self.linear_layer.bias is not None
        with torch.no_grad():
            self.linear_layer.bias.copy_(torch.tensor((0.0, GATE_BIAS)))

    def features(self, x: Tensor) -> Tensor:
        """What the logits are made of, [N, C, 1, 1], of x [N, C, H, W]."""
        return F.relu(self.bn1(self.conv1(x))).mean((2, 3), keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mask [N, 1, 1, 1], values 0 and 1, for x [N, C, H, W]."""
        logits = self.linear_layer(self.features(x))
        if not self.training:
            return logits.argmax(1, keepdim=True).to(logits.dtype)
        difference = logits[:, 1:] - logits[:, :1]
        if self.logit_limit is not None:
            difference = limited(difference, self.logit_limit)
        soft = torch.sigmoid(difference)
        return ((difference > 0).to(soft.dtype) - soft).detach() + soft

    def macs(self) -> int:
        """Multiply-accumulates of one decision. What counts is the difference of the logits, which is one filter's."""
        return self.pixels * 9 * self.channels**2 + self.channels
