"""A network of drawn weights, small enough for thousands of images on the RTL: gates of both kinds, and an exit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.program import Program
from gatewright.driver_export import export_program
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.network import ResidualNetwork, Stage
from gatewright.verify.kit.check import small
from tests.compiler.networks import lively, random_images

ARCH = small(PRESETS["4x4"])
SIZE, CHANNELS = 8, 8


class _Residual(ResidualNetwork[BasicBlock]):
    def __init__(self) -> None:
        stem = nn.Conv2d(3, CHANNELS, 3, padding=1, bias=False)
        super().__init__(6, "dual", 10, SIZE, stem, SIZE, [Stage(CHANNELS, 1, 2, 2)], BasicBlock)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)))


class TinyGated(nn.Module):
    """Two gated blocks; about half of the images are answered behind the first."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.network = lively(_Residual(), 41)
        self.threshold = threshold
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(3)
            self.early = nn.Linear(CHANNELS, 10)
            self.early.weight *= 8

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.network.blocks()
        x, _ = first(self.network.stem(x))
        early = self.early(x.mean((2, 3)))
        x, _ = second(x)
        return torch.where((early >= self.threshold).any(1)[:, None], early, self.network.head(x))


def tiny_images(count: int, seed: int = 2) -> npt.NDArray[np.float32]:
    """Normalised, drawn: [count, 3, SIZE, SIZE]."""
    return CIFAR10.normalise(random_images(count, SIZE, seed))


@cache
def tiny_graph(threshold: float = 4.0) -> QuantisedGraph:
    graph = capture(TinyGated(threshold).eval(), (3, SIZE, SIZE))
    return quantise(graph, calibrate(graph, tiny_images(32)))


def tiny_inputs(count: int, seed: int = 2) -> npt.NDArray[np.int8]:
    """Quantised: [count, SIZE, SIZE, 3]."""
    return quantise_input(tiny_images(count, seed), tiny_graph())


@dataclass(frozen=True)
class Tiny:
    """The live program and its file."""

    program: Program
    path: Path


@cache
def tiny_program(arch: ArchConfig = ARCH) -> Program:
    return Compiler(tiny_graph(), arch).compile_live()


def tiny_file(folder: Path, arch: ArchConfig = ARCH) -> Tiny:
    program = tiny_program(arch)
    return Tiny(program, export_program(program, folder, "tiny"))
