"""The training losses of DGNet (paper, equations (8)-(10))."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.models.families.resnet_cifar import BlockMasks, ResNetCifar
from gatewright.models.training.recipes import BOUND_WEIGHT, SPARSITY_WEIGHT


def sparsity_loss(network: ResNetCifar, masks: list[BlockMasks], target_density: float) -> Tensor:
    """Equation (8): squared distance of the batch's mean MAC ratio from the target density.

    As in the public release the ratio is over the whole network, ungated layers included.
    """
    return (network.gated_macs(masks).mean() / network.dense_macs() - target_density) ** 2


def bound_loss(masks: list[BlockMasks], target_density: float, slack: float) -> Tensor:
    """Equation (9): keep each gate's mean density within bounds that widen as ``slack`` falls.

    ``slack`` is p = exp(-alpha * epoch). Averaged over blocks as in the public release (the paper
    writes a sum), and added for spatial and channel gates.
    """
    root = math.sqrt(target_density)
    total = torch.zeros(())
    for kind in ("spatial", "channel"):
        present = [getattr(m, kind) for m in masks if getattr(m, kind) is not None]
        if present:
            density = torch.stack([mask.float().mean() for mask in present])
            low = F.relu(slack * root - density) ** 2
            high = F.relu(density - 1 + slack * (1 - root)) ** 2
            total = total.to(density.device) + low.mean() + high.mean()
    return total


def gating_loss(
    network: ResNetCifar,
    masks: list[BlockMasks],
    target_density: float,
    slack: float,
    sparsity_weight: float = SPARSITY_WEIGHT,
    bound_weight: float = BOUND_WEIGHT,
) -> Tensor:
    """The two regularisers of equation (10), weighted."""
    sparsity = sparsity_weight * sparsity_loss(network, masks, target_density)
    return sparsity + bound_weight * bound_loss(masks, target_density, slack)
