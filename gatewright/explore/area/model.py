"""The model: each module's tables and registers by least squares over its features, fitted to syntheses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig
from gatewright.explore.area.figures import Synthesis, read_figures
from gatewright.explore.area.memories import FIXED, block_memories
from gatewright.explore.area.parts import FEATURES, MODULES, multipliers
from gatewright.explore.objectives import Area

_FITTED = ("lut", "ff")

Weights = dict[str, dict[str, npt.NDArray[np.float64]]]
"""By module and resource, a weight for each of the module's features."""


@dataclass(frozen=True)
class Accuracy:
    """How far the model is off for whole machines, each with the model fitted to all the others' syntheses."""

    machines: int
    lut_mean: float
    lut_worst: float
    ff_mean: float
    ff_worst: float
    counted_worst: float
    """Of DSP48E2 and block memories, which are counted, not fitted."""

    def __str__(self) -> str:
        counted = "are counted" if not self.counted_worst else f"are within {self.counted_worst:.1%}"
        return (
            f"LUT and FF are a model's: off by {self.lut_mean:.1%} and {self.ff_mean:.1%} on average, "
            f"{self.lut_worst:.1%} and {self.ff_worst:.1%} at worst, at {self.machines} synthesised machines, "
            f"each left out of the fit in turn; DSP48E2 and BRAM36 {counted}."
        )


def estimate(arch: ArchConfig) -> Area:
    """What a machine takes, by the model that is fitted to all syntheses."""
    return predict(_fitted(), arch)


@cache
def accuracy() -> Accuracy:
    """The model's error at each whole machine that was synthesised, fitted to all others."""
    figures = read_figures()
    off: dict[str, list[float]] = {}
    for machine in figures.machines:
        others = [other for other in figures.machines if other is not machine]
        predicted, total = predict(fit([*others, *figures.parts]), machine.arch), machine.total
        for name in ("lut", "ff", "bram36", "dsp"):
            used = getattr(total, name)
            off.setdefault(name, []).append(abs(getattr(predicted, name) - used) / used)
    return Accuracy(
        len(figures.machines),
        float(np.mean(off["lut"])),
        max(off["lut"]),
        float(np.mean(off["ff"])),
        max(off["ff"]),
        max(*off["bram36"], *off["dsp"]),
    )


def fit(rows: Sequence[Synthesis]) -> Weights:
    """Least squares, module by module, over the syntheses that have the module.

    A feature in which they do not differ, beside others that say the same, gets its share of them (the smallest
    solution).
    """
    weights: Weights = {}
    for module in MODULES:
        of = [row for row in rows if module in row.modules]
        seen = np.array([_features(module, row.arch) for row in of])
        weights[module] = {
            name: np.linalg.lstsq(seen, np.array([getattr(row.modules[module], name) for row in of]), rcond=None)[0]
            for name in _FITTED
        }
    return weights


def predict(weights: Weights, arch: ArchConfig) -> Area:
    """The sum over the modules; multipliers and block memories are counted."""
    sums = {name: sum(float(_features(module, arch) @ weights[module][name]) for module in MODULES) for name in _FITTED}
    blocks = sum(FIXED.values()) + sum(memory.blocks for memory in block_memories(arch).values())
    return Area(round(sums["lut"]), round(sums["ff"]), blocks, sum(multipliers(arch).values()))


def _features(module: str, arch: ArchConfig) -> npt.NDArray[np.float64]:
    return np.array([FEATURES[name](arch) for name in MODULES[module]], np.float64)


@cache
def _fitted() -> Weights:
    figures = read_figures()
    return fit([*figures.machines, *figures.parts])
