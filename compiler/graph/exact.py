"""The integer arithmetic of the reference: exact, and shared with neither the simulators nor the lowering."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.compiler.graph.graph import Requantisation

EXACT_FLOAT32 = 1 << 24
"""Every integer up to this magnitude, and so every partial sum below it, is exact in float32."""


def convolve(source: Tensor, weight: npt.NDArray[np.int8], stride: int, padding: int) -> Tensor:
    """The exact integer convolution of int8 [B, C, H, W] with [O, KH, KW, C]: int64 [B, O, H', W'].

    A matrix product over unfolded patches, so that no fast-convolution algorithm can round: every
    partial sum in whatever order is an integer of at most 128 times a row's absolute sum.
    """
    kernel = torch.from_numpy(np.ascontiguousarray(weight.transpose(0, 3, 1, 2))).flatten(1)
    exact = int(kernel.to(torch.int64).abs().sum(1).max()) * 128 < EXACT_FLOAT32
    dtype = torch.float32 if exact else torch.float64
    size = weight.shape[1:3]
    height, width = ((source.shape[2 + i] + 2 * padding - size[i]) // stride + 1 for i in range(2))
    patches = F.unfold(source.to(dtype), size, padding=padding, stride=stride)
    return (kernel.to(dtype) @ patches).to(torch.int64).unflatten(2, (height, width))


def dense(values: Tensor, weight: npt.NDArray[np.int8]) -> Tensor:
    """Exact product of int64 [B, C] and int8 [O, C]: int64 [B, O]."""
    return values @ torch.from_numpy(weight).to(torch.int64).T


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


def spread(mask: Tensor, tile: int, like: Tensor) -> Tensor:
    """A tile mask [B, grid h, grid w] over the pixels of a map: [B, 1, H, W]."""
    pixels = mask.repeat_interleave(tile, 1).repeat_interleave(tile, 2)
    return pixels[:, None, : like.shape[2], : like.shape[3]]
