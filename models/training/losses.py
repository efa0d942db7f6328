"""The training losses of DGNet (paper, equations (8)-(10))."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.models.families.block import KINDS, BlockMasks
from gatewright.models.families.network import Network
from gatewright.models.training.cycle_model import CycleModel
from gatewright.models.training.recipes import BOUND_WEIGHT, SPARSITY_WEIGHT, BoundGradient


def sparsity_loss(network: Network, masks: list[BlockMasks], target_density: float) -> Tensor:
    """Equation (8): squared distance of the batch's mean MAC ratio from the target density.

    As in the public release the ratio is over the whole network, ungated layers included.
    """
    return (network.gated_macs(masks).mean() / network.dense_macs() - target_density) ** 2


def cycles_loss(model: CycleModel, masks: list[BlockMasks], target: float) -> Tensor:
    """Equation (8) on a machine's cycles: squared distance of the batch's mean share of the dense cycles."""
    return (model.share(masks) - target) ** 2


LEAST_SHARE = 0.05
"""Share of a batch for which a decision should be on at least, and off at least; see ``liveness_loss``."""

MARGIN = 0.5
"""Distance from zero that the logits of that share should have on either side."""


def _density(mask: Tensor, gradient: BoundGradient) -> Tensor:
    """Mean of a mask of zeros and ones; see ``Recipe.bound_gradient``."""
    mask = mask.float()
    if gradient == "official":
        mask = mask * mask.detach()
    return mask.mean()


def bound_loss(
    masks: list[BlockMasks], target_density: float, slack: float, gradient: BoundGradient = "mean"
) -> Tensor:
    """Equation (9): keep each gate's mean density within bounds that widen as ``slack`` falls.

    ``slack`` is p = exp(-alpha * epoch). Averaged over blocks as in the public release (the paper
    writes a sum), and added for spatial and channel gates.
    """
    root = math.sqrt(target_density)
    total = torch.zeros(())
    for kind in KINDS:
        present = [mask for block in masks for mask in block.of(kind)]
        if present:
            density = torch.stack([_density(mask, gradient) for mask in present])
            low = F.relu(slack * root - density) ** 2
            high = F.relu(density - 1 + slack * (1 - root)) ** 2
            total = total.to(density.device) + low.mean() + high.mean()
    return total


def liveness_loss(network: Network) -> Tensor:
    """How far spatial decisions are from depending on the image.

    For every tile of every spatial gate the highest logits of a batch (a share ``LEAST_SHARE`` of it) should have a
    mean of at least ``MARGIN``, the lowest one of at most -``MARGIN``; the distance from there, averaged over a gate's
    tiles and over gates. Of the logits and not of the masks: without noise, so that a decision that only noise
    turns does not pass for one, and with a gradient however far out they are. Not in the paper, whose own losses see a
    gate's mean density alone and let a gate close for good. The logits are those of the last forward pass in training.
    """
    gates = [gate for block in network.blocks() for gate in block.spatial_gates()]
    present = [gate.training_logits for gate in gates if gate.training_logits is not None]
    if not present:
        return torch.zeros(())
    terms = []
    for logits in present:
        ordered = logits.float().flatten(1)
        count = max(1, round(LEAST_SHARE * len(ordered)))
        highest = ordered.topk(count, 0).values.mean(0)
        lowest = ordered.topk(count, 0, largest=False).values.mean(0)
        terms.append((F.relu(MARGIN - highest) + F.relu(lowest + MARGIN)).mean())
    return torch.stack(terms).mean()


def gating_loss(
    network: Network,
    masks: list[BlockMasks],
    target_density: float,
    slack: float,
    sparsity_weight: float = SPARSITY_WEIGHT,
    bound_weight: float = BOUND_WEIGHT,
    liveness_weight: float = 0.0,
    bound_gradient: BoundGradient = "mean",
    cycles: CycleModel | None = None,
) -> Tensor:
    """The two regularisers of equation (10), weighted; and ``liveness_loss`` where it has a weight.

    With a target of ``cycles`` the first is on these, and ``target_density`` bounds the gates alone.
    """
    if cycles is None or cycles.target is None:
        total = sparsity_weight * sparsity_loss(network, masks, target_density)
    else:
        total = sparsity_weight * cycles_loss(cycles, masks, cycles.target)
    total = total + bound_weight * bound_loss(masks, target_density, slack, bound_gradient)
    if liveness_weight:
        total = total + liveness_weight * liveness_loss(network)
    return total
