"""Cycles of a network on a machine, fitted to runs of the simulator: drawn decisions, and those of its own gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import Decisions
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import CYCLES
from gatewright.flow import Network, compile_dense, evaluate
from gatewright.measure.records import record_run
from gatewright.models.checkpoints.checkpoint import load_checkpoint
from gatewright.models.datasets.images import ImageSet
from gatewright.models.training.cycle_fit import fit_blocks
from gatewright.models.training.cycle_model import CycleFit, FitError
from gatewright.models.training.cycle_times import TAPS, BlockCycles, BlockShape, block_shapes, block_times
from gatewright.sim.fast.machine import simulate, simulate_decided

HELD_OUT = 4
"""Every so-manieth drawn run judges the fit and has no part in it."""

LEAST_RUNS = 8

SPARSEST = 0.1
"""Least density that is drawn of a gate, but for those that are closed."""

OPEN, CLOSED = 0.08, 0.04
"""Shares of the gates that are drawn wholly open, and wholly closed."""

CLUSTERED = 0.5
"""Share of the spatial gates whose tiles are drawn in clusters and not one by one."""


def draw(gates: list[QuantisedGate], random: np.random.Generator) -> dict[str, npt.NDArray[np.bool_]]:
    """Decisions of all gates: each has a density of its own, of tiles or channels that are drawn or lie together."""
    return {gate.name: _drawn(gate.decision_shape, random) for gate in gates}


def _drawn(shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.bool_]:
    kind = random.random()
    if kind < OPEN + CLOSED:
        return np.full(shape, kind < OPEN)
    density, scores = random.uniform(SPARSEST, 1), random.random(shape)
    if len(shape) > 1 and random.random() < CLUSTERED:  # a mean over neighbours
        scores = np.lib.stride_tricks.sliding_window_view(np.pad(scores, 1, mode="wrap"), (3, 3)).mean((2, 3))
    return np.asarray(scores <= np.quantile(scores, density))


_Four = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of some runs: active tiles, channels and cycles, [blocks, runs] each, and cycles outside of blocks [runs]."""


class _Runs:
    """What was simulated: see ``_Four``."""

    def __init__(self, names: list[str], tiles: list[int], channels: list[int]) -> None:
        self._names, self._every = names, (tiles, channels)
        self._rows: list[tuple[list[float], list[float], list[float], float]] = []

    def add(self, decisions: Decisions, cycles_of_layers: dict[str, int]) -> None:
        """A run."""
        active = ([*map(float, self._every[0])], [*map(float, self._every[1])])
        for gate, decision in decisions.items():
            active[decision.ndim == 1][self._names.index(gate.rpartition(".")[0])] = float(decision.sum())
        blocks = [
            float(sum(cycles for layer, cycles in cycles_of_layers.items() if layer.startswith(f"{name}.")))
            for name in self._names
        ]
        self._rows.append((*active, blocks, sum(cycles_of_layers.values()) - sum(blocks)))

    def taken(self, rows: slice | list[int]) -> _Four:
        """All four, of some of the runs."""
        chosen = self._rows[rows] if isinstance(rows, slice) else [self._rows[row] for row in rows]
        tiles, channels, blocks, outside = zip(*chosen, strict=True)
        made = [torch.tensor(part, dtype=torch.float64) for part in (tiles, channels, blocks, outside)]
        return made[0].T, made[1].T, made[2].T, made[3]


def fit_cycles(
    network: Network, arch: ArchConfig, images: ImageSet, runs: int, seed: int, progress: bool = False
) -> CycleFit:
    """Draw decisions, compile and simulate them, and fit the model of ``cycle_times``.

    ``runs`` decisions are drawn from ``seed``, of which every fourth judges the fit; so do the decisions of the
    network's own gates on ``images``. A network without gates that are modelled, or too few runs, is a
    ``GatewrightError``.
    """
    if runs < LEAST_RUNS:
        raise GatewrightError(f"{runs} runs are too few to fit cycles to; draw {LEAST_RUNS} or more")
    module, _ = load_checkpoint(network.path)
    shapes = block_shapes(module)
    places = {id(child): name for name, child in module.named_modules()}
    names = [places[id(block)] for block in module.blocks()]
    gates = [layer for layer in network.graph.layers if isinstance(layer, QuantisedGate)]
    compiler, random = Compiler(network.graph, arch), np.random.default_rng(seed)
    drawn, own = (_Runs(names, [s.tiles for s in shapes], [s.channels for s in shapes]) for _ in range(2))
    evaluation = evaluate(network, images)
    jobs: list[tuple[_Runs, Decisions]] = [(drawn, draw(gates, random)) for _ in range(runs)]
    jobs += [(own, evaluation.decisions(image)) for image in range(len(images))]
    for into, decisions in tqdm(jobs, "simulate", disable=not progress):
        program = compiler.compile(decisions)
        record = record_run(program, simulate_decided(program))
        into.add(decisions, {layer.name: layer.cycles for layer in record.layers})
    judged = list(range(0, runs, HELD_OUT))
    tiles, channels, measured, outside = drawn.taken([run for run in range(runs) if run not in judged])
    blocks = fit_blocks(arch, shapes, tiles, channels, measured)
    beside = round(float(outside.mean()), 1)

    judging, own_runs = drawn.taken(judged), own.taken(slice(None))
    line = _line(_macs(shapes, tiles, channels), measured.sum(0) + outside)
    return CycleFit(
        format=CYCLES.name,
        depth=module.depth,
        gating=module.gating,
        arch=arch,
        seed=seed,
        runs=runs,
        outside=beside,
        dense=float(simulate(compile_dense(network, arch)).cycles),
        blocks=blocks,
        drawn=_error(_said(arch, shapes, blocks, judging) + beside, judging),
        own=_error(_said(arch, shapes, blocks, own_runs) + beside, own_runs),
        macs=_error(line[0] + line[1] * _macs(shapes, *judging[:2]), judging),
    )


def _said(arch: ArchConfig, shapes: Sequence[BlockShape], blocks: Sequence[BlockCycles], runs: _Four) -> Tensor:
    """Cycles in blocks [runs] as the fit has them."""
    fitted = torch.tensor([astuple(block) for block in blocks], dtype=torch.float64)
    return block_times(arch, shapes, fitted, runs[0], runs[1]).sum(0)


def _macs(shapes: Sequence[BlockShape], tiles: Tensor, channels: Tensor) -> Tensor:
    """MACs [runs] of the blocks' gated convolutions."""
    each = [TAPS * shape.tile_pixels * (shape.in_channels + shape.channels) for shape in shapes]
    return (torch.tensor(each, dtype=torch.float64)[:, None] * tiles * channels).sum(0)


def _line(macs: Tensor, cycles: Tensor) -> Tensor:
    """Cycles at no MACs, and for each of them, that fit best."""
    found: Tensor = torch.linalg.lstsq(torch.stack([torch.ones_like(macs), macs], 1), cycles[:, None]).solution
    return found[:, 0]


def _error(said: Tensor, runs: _Four) -> FitError:
    true = runs[2].sum(0) + runs[3]
    percent = 100 * (said - true).abs() / true
    both = torch.corrcoef(torch.stack([said, true]))[0, 1].nan_to_num()
    return FitError(len(true), *(round(float(number), 4) for number in (percent.mean(), percent.max(), both)))
