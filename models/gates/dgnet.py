"""The gating modules of Dynamic Dual Gating Networks (DGNet, Li et al., ICCV 2021, section 3).

Parameter names (``atten_s``, ``atten_c``) are those of the public release, so that its
checkpoints load.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.arithmetic import gate_decision

GUMBEL_TEMPERATURE = 2 / 3
"""Temperature of the relaxed Bernoulli gate (paper, below equation (6))."""

CHANNEL_REDUCTION = 4
"""Ratio r between the channels and the hidden neurons of a channel gate (paper, equation (7))."""

GATE_BIAS = 2.0
"""Initial bias of a gate's last layer: every gate starts open (public release, option ``--bias``)."""


class _Limited(torch.autograd.Function):
    """See ``limited``."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, limit: float) -> Tensor:
        ctx.save_for_backward(logits)
        ctx.limit = limit
        return logits.clamp(-limit, limit)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        (logits,) = ctx.saved_tensors
        outward = (logits.abs() > ctx.limit) & (gradient * logits < 0)
        return gradient.masked_fill(outward, 0), None


def limited(logits: Tensor, limit: float) -> Tensor:
    """Logits within -limit to limit, their signs and so every decision kept.

    The forward value is clamped. The gradient passes unless it would move a logit that is outside further out: a logit
    far out, whose noise has no say and whose relaxed gate has next to no gradient, is drawn back to where
    both have, and none drifts away.
    """
    result: Tensor = _Limited.apply(logits, limit)
    return result


def straight_through_gate(logits: Tensor, training: bool, limit: float | None = None, noise: float = 1.0) -> Tensor:
    """Turn logits into a binary mask of the same shape.

    In evaluation a gate is on where ``logit >= 0`` (paper, equation (3); ties are on). In
    training logistic noise is added (equation (6)), the forward value is the hard decision and
    the gradient is that of the relaxed one. With a ``limit`` training sees ``limited`` logits; ``noise`` is what part
    of the noise is added. The paper has neither.
    """
    if not training:
        return gate_decision(logits).to(logits.dtype)
    if limit is not None:
        logits = limited(logits, limit)
    logits, kind = logits.float(), logits.dtype
    if noise:
        uniform = torch.rand_like(logits)
        logits = logits + noise * (torch.log(uniform + 1e-8) - torch.log(1 - uniform + 1e-8))
    soft = torch.sigmoid(logits / GUMBEL_TEMPERATURE)
    hard = (soft >= 0.5).to(soft.dtype)
    return ((hard - soft).detach() + soft).to(kind)


class SpatialGate(nn.Module):
    """Decide per tile of the block's output whether it is computed (paper, section 3.1).

    Parameters
    ----------
    channels
        Channels of the block's input, on which the decision is made.
    height, width
        Size of the block's *output* map.
    tile
        Edge of a tile, in output pixels.
    """

    def __init__(self, channels: int, height: int, width: int, tile: int) -> None:
        super().__init__()
        self.channels = channels
        self.logit_limit: float | None = None
        self.noise, self.apart = 1.0, False
        self.training_logits: Tensor | None = None
        """What the last decisions in training were made of, of the mask's shape, before noise: for a loss. Its
        gradient stops at the gate, so that such a loss moves the gate and not what the gate sees."""
        self.mask_height = math.ceil(height / tile)
        self.mask_width = math.ceil(width / tile)
        self.atten_s = nn.Conv2d(channels, 1, kernel_size=3, padding=1, bias=True)

    def reset_gate(self) -> None:
        """Open every gate: the bias of the last layer becomes ``GATE_BIAS``."""
        assert self.atten_s.bias is not None
        nn.init.constant_(self.atten_s.bias, GATE_BIAS)

    @property
    def last_layer(self) -> nn.Conv2d:
        """What the logits are the results of."""
        return self.atten_s

    def logits(self, x: Tensor) -> Tensor:
        """What is decided by, [N, 1, mask_height, mask_width], for x [N, C, H, W]."""
        found: Tensor = self.atten_s(F.adaptive_avg_pool2d(x, (self.mask_height, self.mask_width)))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return the mask [N, 1, mask_height, mask_width], values 0 and 1, for x [N, C, H, W]."""
        if self.training:
            self.training_logits = self.logits(x.detach())
        logits = self.logits(x.detach() if self.apart else x)
        return straight_through_gate(logits, self.training, self.logit_limit, self.noise)

    def macs(self) -> int:
        """Multiply-accumulates of one decision, as the public release counts them."""
        return self.mask_height * self.mask_width * self.channels * 9


class ChannelGate(nn.Module):
    """Decide per channel between the two convolutions of a block (paper, section 3.2).

    ``hidden`` neurons, a quarter of the input's channels without a number, decide for ``out_channels`` channels.
    """

    def __init__(self, in_channels: int, out_channels: int, hidden: int | None = None) -> None:
        super().__init__()
        self.logit_limit: float | None = None
        self.noise, self.apart = 1.0, False
        self.training_logits: Tensor | None = None
        """What the last decisions in training were made of, of the mask's shape, before noise: for a loss."""
        self.hidden = in_channels // CHANNEL_REDUCTION if hidden is None else hidden
        self.in_channels, self.out_channels = in_channels, out_channels
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.atten_c = nn.Sequential(
            nn.Conv2d(in_channels, self.hidden, kernel_size=1, bias=False),
            nn.BatchNorm2d(self.hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.hidden, out_channels, kernel_size=1, bias=True),
        )

    def reset_gate(self) -> None:
        """Open every gate: the bias of the last layer becomes ``GATE_BIAS``."""
        nn.init.constant_(self.atten_c[3].bias, GATE_BIAS)  # type: ignore[arg-type]

    @property
    def last_layer(self) -> nn.Conv2d:
        """What the logits are the results of."""
        last = self.atten_c[-1]
        assert isinstance(last, nn.Conv2d)
        return last

    def logits(self, x: Tensor) -> Tensor:
        """What is decided by, [N, out_channels, 1, 1], for x [N, C, H, W]."""
        found: Tensor = self.atten_c(self.avg_pool(x))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return the mask [N, out_channels, 1, 1], values 0 and 1, for x [N, C, H, W]."""
        logits = self.logits(x.detach() if self.apart else x)
        if self.training:
            self.training_logits = logits
        return straight_through_gate(logits, self.training, self.logit_limit, self.noise)

    def macs(self) -> int:
        """Multiply-accumulates of one decision, as the public release counts them."""
        return self.in_channels * self.hidden + self.hidden * self.out_channels
