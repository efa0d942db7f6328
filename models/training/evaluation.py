"""Accuracy and remaining work of a network on a set of images, in float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.block import KINDS, BlockMasks, MaskKind
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.network import Network

BATCH_PIXELS = 500 * 32 * 32
"""Pixels of the images that are evaluated at a time: 500 of CIFAR-10."""


def evaluate_float(
    network: Network, data: ImageSet, batch_size: int | None = None, progress: bool = False
) -> dict[str, object]:
    """Top-1 (percent), predictions [N], and the mean MAC ratio and gate densities over a set, in float32.

    Of a network with early exits the answer is that of the image's exit, and ``exit_shares`` has the share of images
    that leaves at each, the end last. Of a set without labels there is no top-1. Without a ``batch_size`` it is that
    of ``BATCH_PIXELS``.
    """
    data.check_size(network.size)
    batch_size = batch_size or max(1, BATCH_PIXELS // network.size**2)
    device = next(network.parameters()).device
    network.eval()
    predictions, macs, exits = [], [], []
    densities: dict[MaskKind, list[list[float]]] = {kind: [] for kind in KINDS}
    weights: list[int] = []
    decided: dict[str, list[npt.NDArray[np.bool_]]] = {}
    with torch.no_grad():
        for start in tqdm(range(0, len(data), batch_size), "evaluate", disable=not progress):
            images = torch.from_numpy(data.source.normalise(data.images[start : start + batch_size])).to(device)
            masks: list[BlockMasks] = [BlockMasks(None, None) for _ in network.blocks()]
            if isinstance(network, EarlyExits):
                logits, left = network.forward_with_exits(images)
                macs.append(np.array(network.macs_of_exits(), np.float64)[left.cpu().numpy()])
                exits.append(left.cpu().numpy())
            else:
                logits, masks = network.forward_with_masks(images)
                macs.append(network.gated_macs(masks).expand(len(images)).double().cpu().numpy())
            predictions.append(logits.argmax(1).cpu().numpy())
            weights.append(len(images))
            for number, block in enumerate(masks):
                for kind in KINDS:
                    for gate, mask in enumerate(block.of(kind)):
                        bits = mask.flatten(1).bool().cpu().numpy()
                        decided.setdefault(f"{kind}.{number}.{gate}", []).append(bits)
            for kind, by_batch in densities.items():
                by_batch.append([_density(block.of(kind)) for block in masks])
    predicted = np.concatenate(predictions)
    top1 = {"top1": data.accuracy(predicted, network.classes)} if data.labelled else {}
    return {
        **top1,
        "predictions": predicted,
        "mac_ratio": float(np.concatenate(macs).mean() / network.dense_macs()),
        **{f"{kind}_density": np.average(by_batch, 0, weights).tolist() for kind, by_batch in densities.items()},
        **({"exit_shares": _shares(np.concatenate(exits), network)} if isinstance(network, EarlyExits) else {}),
        **_dependence({name: np.concatenate(bits).mean(0) for name, bits in decided.items()}),
    }


def _shares(exits: npt.NDArray[np.int64], network: EarlyExits) -> list[float]:
    count = len(network.gates()) + 1
    return [float(share) for share in np.bincount(exits, minlength=count) / len(exits)]


def _density(masks: list[Tensor]) -> float:
    """The mean share of a block's masks of a kind that is on; 1 where it has none."""
    return float(torch.stack([mask.mean() for mask in masks]).mean()) if masks else 1.0


def _dependence(shares: dict[str, npt.NDArray[np.float64]]) -> dict[str, object]:
    """How much gates depend on the image, from the share of images for which each decision of each gate is on.

    ``spatial_dependent`` and ``channel_dependent`` are the shares of all decisions (tiles, channels) of that kind
    that are on for between 1% and 99% of the images; ``blocks_closed`` is the number of blocks without any tile, or
    any channel, for all of them. A kind that the network does not have is left out.
    """
    result: dict[str, object] = {}
    for kind in KINDS:
        present = [share for name, share in shares.items() if name.startswith(kind)]
        if present:
            every = np.concatenate(present)
            result[f"{kind}_dependent"] = float(((every >= 0.01) & (every <= 0.99)).mean())
    if shares:
        result["blocks_closed"] = len({name.split(".")[1] for name, share in shares.items() if not share.any()})
    return result
