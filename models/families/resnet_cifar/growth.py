"""A deeper network from a trained shallower one, with the same function (Chen et al. 2016, *Net2Net*, section 2.4).

A new block is a copy of a trained one, gates included, whose last batch norm is zero: it adds nothing to the residual
stream until training moves that norm. Blocks that change the map's size stay first in their stage.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.resnet_cifar.network import STAGES

SILENCED = ("bn2.weight", "bn2.bias")


def sources(trained: int, wanted: int) -> list[tuple[int, bool]]:
    """For each block of a deeper stage: the block of the trained stage that it copies, and whether it is new.

    ``trained`` and ``wanted`` are blocks per stage. The new blocks are spread: each follows the one that it copies.
    """
    if trained > wanted or trained == 1 < wanted:
        raise GatewrightError(f"stages of {trained} blocks cannot grow to {wanted}")
    copied = [0] + [1 + index * (trained - 1) // (wanted - 1) for index in range(wanted - 1)]
    return [(source, source in copied[:index]) for index, source in enumerate(copied)]


def grow(state: dict[str, Tensor], from_depth: int, to_depth: int) -> dict[str, Tensor]:
    """The state dict of a ResNet of ``to_depth`` layers that computes what the one of ``from_depth`` does."""
    blocks = sources((from_depth - 2) // 6, (to_depth - 2) // 6)
    grown = {name: tensor for name, tensor in state.items() if not name.startswith("layer")}
    for stage in range(1, len(STAGES) + 1):
        for index, (source, is_new) in enumerate(blocks):
            prefix = f"layer{stage}.{source}."
            for name in [name for name in state if name.startswith(prefix)]:
                part = name.removeprefix(prefix)
                silent = is_new and part in SILENCED
                grown[f"layer{stage}.{index}.{part}"] = (torch.zeros_like if silent else torch.clone)(state[name])
    return grown
