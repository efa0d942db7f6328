"""A fitted model of a network's cycles on a machine: its file, and what a training asks of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import CYCLES
from gatewright.contract.schema import Count, format_of, load_json, parse
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.network import Network
from gatewright.models.training.cycle_times import BlockCycles, Cycles, block_shapes, block_times, counts

FIX = "make it again with gatewright fit-cycles"

Percent = Annotated[float, Interval(ge=0)]


@dataclass(frozen=True)
class FitError:
    """How far a fit is from the simulator on runs that it was not fitted to, and on how many.

    In percent of a run's cycles: the mean, and the worst. ``correlation`` of both over the runs.
    """

    runs: Count
    mean_percent: Percent
    worst_percent: Percent
    correlation: Annotated[float, Interval(ge=-1, le=1)]


@dataclass(frozen=True)
class CycleFit:
    """What ``gatewright fit-cycles`` writes.

    ``outside`` are the cycles outside of the blocks, ``dense`` those of the network without gates, ``blocks`` what was
    fitted of each block, in order. ``drawn`` is the error on drawn decisions, ``own`` that on decisions of the
    network's own gates on the packaged images, and ``macs`` that of a straight line on the MACs, on the same drawn
    decisions: where it is small, a training on MACs is one on cycles. ``runs`` drawn ones were fitted, from ``seed``.
    """

    format: str
    depth: Count
    gating: str
    arch: ArchConfig
    seed: Count
    runs: Count
    outside: Cycles
    dense: Annotated[float, Interval(gt=0)]
    blocks: tuple[BlockCycles, ...]
    drawn: FitError
    own: FitError
    macs: FitError

    def check(self, network: Network) -> None:
        """A network of another form than was fitted is a ``GatewrightError``."""
        if (network.depth, network.gating) != (self.depth, self.gating) or len(network.blocks()) != len(self.blocks):
            raise GatewrightError(
                f"the cycles were fitted for {self.depth} layers with gates {self.gating!r}, the network has "
                f"{network.depth} with gates {network.gating!r}; fit cycles to a network like it"
            )

    def save(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(asdict(self), indent=1) + "\n")
        partial.replace(path)


def load_fit(path: Path) -> CycleFit:
    """Read what ``fit-cycles`` wrote; a damaged file is a ``GatewrightError``."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise GatewrightError(f"cycles {path} cannot be read ({error.strerror}); {FIX}") from error
    what = f"cycles {path} are damaged"
    data = load_json(text, what, FIX)
    CYCLES.check(format_of(data), f"file of cycles {path}", FIX)
    return parse(CycleFit, data, what, FIX)


class CycleModel:
    """A network's cycles by what its gates decide; ``target`` is the share of the dense cycles to aim for, if any."""

    def __init__(self, fit: CycleFit, network: Network, target: float | None = None) -> None:
        fit.check(network)
        self.fit, self.target, self.shapes = fit, target, block_shapes(network)
        self._fitted = torch.tensor([astuple(block) for block in fit.blocks])

    def cycles(self, masks: Sequence[BlockMasks]) -> Tensor:
        """Cycles of each image of a batch, [N], whose masks [N, ...] need not all be there."""
        present = next(mask for block in masks for mask in (block.spatial, block.channel) if mask is not None)
        tiles, channels = counts(self.shapes, masks, len(present))
        fitted = self._fitted.to(tiles.device)
        return self.fit.outside + block_times(self.fit.arch, self.shapes, fitted, tiles, channels).sum(0)

    def share(self, masks: Sequence[BlockMasks]) -> Tensor:
        """The batch's mean cycles by the dense network's."""
        return self.cycles(masks).mean() / self.fit.dense
