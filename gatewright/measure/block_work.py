"""How much of each block's work is executed, over many images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.blocks import GatedBlock, macs_by_block
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.contract.errors import GatewrightError
from gatewright.measure.records import BlockWork, ImageRecord, RunRecord

UNITS: dict[str, str] = {
    **dict.fromkeys(("executed_mean", "executed_p5", "executed_p95", "executed_least", "executed_most"), "fraction"),
    "macs_by_block": "MACs",
}
"""Of the keys that no other part of a report has."""


def block_work(
    graph: QuantisedGraph, blocks: Sequence[GatedBlock], decisions: Decisions | None
) -> tuple[BlockWork, ...]:
    """What one sample executes of a graph's blocks; without decisions the dense network."""
    macs = macs_by_block(graph, blocks, decisions)
    return tuple(BlockWork(block.name, block.gates, block.layers, macs[block.name]) for block in blocks)


def executed_shares(dense: RunRecord, images: Sequence[ImageRecord]) -> npt.NDArray[np.float64]:
    """The share of its dense MACs that each image executes of each block, [images, blocks]."""
    names = [block.name for block in dense.blocks]
    for image in images:
        if [block.name for block in image.run.blocks] != names:
            raise GatewrightError(f"image {image.index} has other blocks than the dense run; use one network")
    macs = np.array([[block.macs for block in image.run.blocks] for image in images], np.float64)
    return macs.reshape(len(images), len(names)) / np.array([block.macs for block in dense.blocks], np.float64)


def block_rows(dense: RunRecord, images: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    """One row for each block that gates or early exits decide about, in order; none for a static network.

    Percentiles are those of a real image. An image that leaves at an exit executes nothing of what lies behind it.
    """
    shares = executed_shares(dense, images)
    return [
        {
            "name": block.name,
            "gates": list(block.gates),
            "layers": list(block.layers),
            "macs_dense": block.macs,
            "macs_gated_mean": float(np.mean([image.run.blocks[number].macs for image in images])),
            "executed_mean": float(own.mean()),
            **{f"executed_p{p}": float(np.percentile(own, p, method="inverted_cdf")) for p in (5, 95)},
            "executed_least": float(own.min()),
            "executed_most": float(own.max()),
        }
        for number, (block, own) in enumerate(zip(dense.blocks, shares.T, strict=True))
    ]
