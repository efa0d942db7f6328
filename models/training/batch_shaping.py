"""The losses of batch-shaped gates (Ehteshami Bejnordi et al., ICLR 2020, *Batch-Shaping*, sections 3 and 4)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gatewright.models.families.network import Network
from gatewright.models.gates.dgnet import ChannelGate

ALPHA, BETA = 0.6, 0.4
"""Of the Beta distribution that a gate's outputs should have over a batch (section 4.2)."""

TERMS = 16
"""Of the continued fraction: its relative error is below 1e-12 in the half of [0, 1] in which it is evaluated."""

MARGIN = 1e-4
"""Outputs are held this far from 0 and 1, where the density is infinite."""


class _BetaCdf(torch.autograd.Function):
    """The distribution function, whose gradient is the density."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: float, b: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.a, ctx.b = a, b
        return _regularised(x.double(), a, b).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (x,) = gradients, ctx.saved_tensors
        exact = x.double()
        logarithm = (ctx.a - 1) * exact.log() + (ctx.b - 1) * (-exact).log1p() - _log_beta(ctx.a, ctx.b)
        return gradient * logarithm.exp().to(x.dtype), None, None


def beta_cdf(x: Tensor, a: float = ALPHA, b: float = BETA) -> Tensor:
    """The regularised incomplete beta function I_x(a, b) of numbers between 0 and 1, both left out."""
    result: Tensor = _BetaCdf.apply(x, a, b)
    return result


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _regularised(x: Tensor, a: float, b: float) -> Tensor:
    """I_x(a, b), or 1 - I_{1-x}(b, a) where that converges faster: beyond the mean, or nearly so."""
    mirrored = x > (a + 1) / (a + b + 2)
    low, high = torch.full_like(x, a), torch.full_like(x, b)
    one, other = torch.where(mirrored, high, low), torch.where(mirrored, low, high)
    side = torch.where(mirrored, 1 - x, x)
    front = one * side.log() + other * (-side).log1p() - _log_beta(a, b)
    value = front.exp() / one * _fraction(side, one, other)
    return torch.where(mirrored, 1 - value, value)


def _fraction(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """1/(1 + d1/(1 + d2/(1 + ...))), from the innermost term on (Abramowitz and Stegun, 26.5.8)."""
    value = torch.ones_like(x)
    for number in range(TERMS, 0, -1):
        m = number // 2
        if number % 2:
            term = -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1 + term * x / value
    return 1 / value


def shaping_loss(outputs: Tensor) -> Tensor:
    """Equation (2) without its weight, added over gates: the distance of [N, gates] from the Beta distribution.

    Of each gate the mean over the batch of (i / (N + 1) - I(x_i))^2, x_i its i-th smallest output. The gradient goes
    through the sorting.
    """
    count = len(outputs)
    ordered = outputs.float().clamp(MARGIN, 1 - MARGIN).sort(0).values
    expected = torch.arange(1, count + 1, device=outputs.device, dtype=torch.float32)[:, None] / (count + 1)
    return ((expected - beta_cdf(ordered)) ** 2).mean(0).sum()


def complexity_loss(outputs: Tensor) -> Tensor:
    """Equation (5) without its weight: the mean over a batch of the sum of [N, gates], the relaxed L0 norm."""
    return outputs.float().sum(1).mean()


def batch_shaping_loss(network: Network, shaping: float, complexity: float) -> Tensor:
    """Both losses, weighted, over all channel gates of a network that has just been run in training.

    An output is the sigmoid of a gate's logit, without the temperature and the noise of the decision: the
    paper does not say which one is shaped. A weight of zero leaves its loss out.
    """
    total = torch.zeros(())
    for block in network.blocks():
        for gate in block.channel_gates():
            if isinstance(gate, ChannelGate) and gate.training_logits is not None:
                outputs = torch.sigmoid(gate.training_logits.float().flatten(1))
                total = total.to(outputs.device)
                if shaping:
                    total = total + shaping * shaping_loss(outputs)
                if complexity:
                    total = total + complexity * complexity_loss(outputs)
    return total
