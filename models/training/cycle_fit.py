"""Fitting of ``cycle_times`` to what a simulator measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gatewright.contract.arch import ArchConfig
from gatewright.models.training.cycle_times import BlockCycles, BlockShape, block_times

START = (400.0, 1.0, 0.0, 500.0)
"""Where the search begins: see ``BlockCycles``."""

UNITS = (400.0, 1.0, 10.0, 500.0)
"""Steps of the search, of each number: so that all of them are of a size."""

STAY = 1e-4
"""Weight of the square of a number's distance from its start: for what the runs say nothing about."""

WHOLE = 3.0
"""Weight of the error of a whole run, beside the mean of those of its blocks."""

_STEPS = 300


def fit_blocks(
    arch: ArchConfig, shapes: Sequence[BlockShape], tiles: Tensor, channels: Tensor, measured: Tensor
) -> tuple[BlockCycles, ...]:
    """The numbers with which ``block_times`` comes closest to ``measured`` cycles.

    ``tiles``, ``channels`` and ``measured`` are [blocks, runs]. Errors are squares, a block's by its mean cycles and a
    run's by the mean run's; the search is L-BFGS from ``START``, without a random part.
    """
    tiles, channels, measured = tiles.double(), channels.double(), measured.double()
    start, units = (torch.tensor(numbers, dtype=torch.float64) for numbers in (START, UNITS))
    moved = torch.zeros((len(shapes), len(START)), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([moved], max_iter=_STEPS, line_search_fn="strong_wolfe", history_size=20)

    def fitted() -> Tensor:
        return (start + moved * units).clamp(min=0)

    def loss() -> Tensor:
        search.zero_grad()
        wrong = block_times(arch, shapes, fitted(), tiles, channels) - measured
        of_blocks = ((wrong / measured.mean(1, keepdim=True)) ** 2).mean()
        of_runs = ((wrong.sum(0) / measured.sum(0).mean()) ** 2).mean()
        total = of_blocks + WHOLE * of_runs + STAY * (moved**2).mean()
        total.backward()
        return total

    search.step(loss)
    return tuple(BlockCycles(*(round(float(number), 4) for number in row)) for row in fitted().detach())
