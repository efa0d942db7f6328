"""The integer arithmetic of the reference: exact, and shared with neither the simulators nor the lowering."""

from __future__ import annotations

from functools import reduce

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.compiler.graph.graph import Requantisation

PIECE = 1024
"""Products of two int8 numbers, at most 2**14 each in magnitude, that sum up to 2**24 at most: every integer up to
there, and so every partial sum in whatever order, is exact in float32."""


def convolve(
    source: Tensor, weight: npt.NDArray[np.int8], stride: int, padding: int, groups: int = 1, dilation: int = 1
) -> Tensor:
    """The exact integer convolution of int8 [B, C, H, W] with [O, KH, KW, C / groups]: int64 [B, O, H', W'].

    Matrix products over unfolded patches, so that no fast-convolution algorithm can round, in float32 over ``PIECE``
    products at a time; the pieces are added as integers.
    """
    filters, height, width, channels = weight.shape
    edge = F.pad(source.permute(0, 2, 3, 1).to(torch.float32), (0, 0, *(padding,) * 4))
    down, across = ((size - 1) * dilation + 1 for size in (height, width))
    reach = edge.unfold(1, down, stride).unfold(2, across, stride)
    windows = reach[..., ::dilation, ::dilation]  # [B, H', W', C, KH, KW]
    grouped = windows.unflatten(3, (groups, channels)).permute(3, 0, 1, 2, 5, 6, 4)
    patches = grouped.reshape(groups, windows.shape[:3].numel(), -1)
    kernel = torch.from_numpy(weight.reshape(groups, filters // groups, -1)).to(torch.float32)
    pairs = zip(patches.split(PIECE, 2), kernel.split(PIECE, 2), strict=True)
    sums = reduce(Tensor.add_, ((part @ taps.mT).to(torch.int64) for part, taps in pairs))
    return sums.permute(1, 0, 2).reshape(*windows.shape[:3], filters).permute(0, 3, 1, 2)


def dense(values: Tensor, weight: npt.NDArray[np.int8]) -> Tensor:
    """Exact product of int64 [B, C] and int8 [O, C]: int64 [B, O], in float64.

    The magnitudes of a sum's terms must add up to 2**53 at most; ``quantise`` proves 2**31 for all that it makes.
    """
    return (values.to(torch.float64) @ torch.from_numpy(weight).to(torch.float64).T).to(torch.int64)


def requantise(sums: Tensor, requantisation: Requantisation) -> Tensor:
    """Add the bias and scale, per channel (dimension 1), to int16 range; int64."""
    shape = (1, -1) + (1,) * (sums.dim() - 2)
    bias, multiplier, shift = (
        torch.from_numpy(a).view(shape) for a in (requantisation.bias, requantisation.multiplier, requantisation.shift)
    )
    return scaled(sums + bias, multiplier, shift)


def scaled(sums: Tensor, multiplier: Tensor, shift: Tensor) -> Tensor:
    """sums * multiplier / 2**shift, halves up, saturated to int16."""
    half = torch.ones_like(shift) << (shift - 1)
    return ((sums * multiplier).add_(half) >> shift).clamp_(-32768, 32767)


def spread(mask: Tensor, like: Tensor) -> Tensor:
    """A tile mask [B, grid h, grid w] over the pixels of a map, whose last tiles may be cut: [B, 1, H, W]."""
    height, width = like.shape[2:]
    rows, columns = -(-height // mask.shape[1]), -(-width // mask.shape[2])
    pixels = mask.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    return pixels[:, None, :height, :width]


def upsampled(coarse: Tensor, shift: int) -> Tensor:
    """A map [B, C, H, W] with every pixel 2**shift times in both directions."""
    factor = 1 << shift
    return coarse if shift == 0 else coarse.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
