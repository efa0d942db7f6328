"""Accuracy and remaining work of a network on a set of images, in float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.block import KINDS, MaskKind
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.network import Network
from gatewright.models.training.cycle_model import CycleModel

Shares = dict[tuple[MaskKind, int, int], npt.NDArray[np.float64]]
"""Of each gate, by its kind, its block and its number in it: for which share of images each decision is on."""

BATCH_PIXELS = 500 * 32 * 32
"""Pixels of the images that are evaluated at a time: 500 of CIFAR-10."""


def evaluate_float(
    network: Network,
    data: ImageSet,
    batch_size: int | None = None,
    progress: bool = False,
    cycles: CycleModel | None = None,
) -> dict[str, object]:
    """Top-1 (percent), predictions [N], and the mean MAC ratio and gate densities over a set, in float32.

    Of a network with early exits the answer is that of the image's exit, ``exit_shares`` has the share of images that
    leaves at each, the end last, and decisions in a block are those of the images that reach it. Of a set without
    labels there is no top-1. With ``cycles`` there is ``cycle_ratio``, the mean cycles by the dense ones, as the model
    says. Without a ``batch_size`` it is that of ``BATCH_PIXELS``.
    """
    data.check_size(network.size)
    batch_size = batch_size or max(1, BATCH_PIXELS // network.size**2)
    device = next(network.parameters()).device
    network.eval()
    predictions, macs, exits, shares_of_cycles = [], [], [], []
    decided: dict[tuple[MaskKind, int, int], list[npt.NDArray[np.bool_]]] = {}
    with torch.no_grad():
        for start in tqdm(range(0, len(data), batch_size), "evaluate", disable=not progress):
            images = torch.from_numpy(data.source.normalise(data.images[start : start + batch_size])).to(device)
            if isinstance(network, EarlyExits):
                answers, masks = network.answers_and_masks(images)
                logits, left = network.leaving(answers)
                by_exit = network.macs_of_exits(masks).expand(-1, len(images))
                macs.append(by_exit.gather(0, left.cpu()[None])[0].numpy())
                exits.append(left.cpu().numpy())
                reaching = [left >= passed for passed in network.exits_before()]
            else:
                logits, masks = network.forward_with_masks(images)
                reaching = [torch.ones(len(images), dtype=torch.bool)] * len(masks)
                macs.append(network.gated_macs(masks).expand(len(images)).double().cpu().numpy())
            if cycles is not None:
                shares_of_cycles.append(float(cycles.share(masks)) * len(images) / len(data))
            predictions.append(logits.argmax(1).cpu().numpy())
            for number, (block, reach) in enumerate(zip(masks, reaching, strict=True)):
                for kind in KINDS:
                    for gate, mask in enumerate(block.of(kind)):
                        bits = mask.flatten(1).bool().cpu().numpy()[reach.cpu().numpy()]
                        decided.setdefault((kind, number, gate), []).append(bits)
    predicted = np.concatenate(predictions)
    shares = {gate: _on(np.concatenate(bits)) for gate, bits in decided.items()}
    top1 = {"top1": data.accuracy(predicted, network.classes)} if data.labelled else {}
    return {
        **top1,
        "predictions": predicted,
        "mac_ratio": float(np.concatenate(macs).mean() / network.dense_macs()),
        **({} if cycles is None else {"cycle_ratio": sum(shares_of_cycles)}),
        **{f"{kind}_density": [_density(shares, kind, n) for n in range(len(network.blocks()))] for kind in KINDS},
        **({"exit_shares": _shares(np.concatenate(exits), network)} if isinstance(network, EarlyExits) else {}),
        **_dependence(shares),
    }


def _shares(exits: npt.NDArray[np.int64], network: EarlyExits) -> list[float]:
    count = len(network.gates()) + 1
    return [float(share) for share in np.bincount(exits, minlength=count) / len(exits)]


def _on(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """For which share of the images [N, decisions] each decision is on; 0 if there are no images."""
    return bits.sum(0) / max(1, len(bits))


def _density(shares: Shares, kind: MaskKind, block: int) -> float:
    """The mean share of a block's masks of a kind that is on; 1 where it has none."""
    present = [share.mean() for (of, number, _), share in shares.items() if (of, number) == (kind, block)]
    return float(np.mean(present)) if present else 1.0


def _dependence(shares: Shares) -> dict[str, object]:
    """How much gates depend on the image, from the share of images for which each decision of each gate is on.

    ``spatial_dependent`` and ``channel_dependent`` are the shares of all decisions (tiles, channels) of that kind
    that are on for between 1% and 99% of the images; ``blocks_closed`` is the number of blocks without any tile, or
    any channel, for all of them. A kind that the network does not have is left out.
    """
    result: dict[str, object] = {}
    for kind in KINDS:
        present = [share for (of, _, _), share in shares.items() if of == kind]
        if present:
            every = np.concatenate(present)
            result[f"{kind}_dependent"] = float(((every >= 0.01) & (every <= 0.99)).mean())
    if shares:
        result["blocks_closed"] = len({number for (_, number, _), share in shares.items() if not share.any()})
    return result
