"""Maps that a network returns: several made of one map, and the heads of a detector of two stages."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.contract.trace import first_difference
from gatewright.models.families.faster_rcnn import BoxHead
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively
from tests.end_to_end.networks import Case, case_of


class Heads(nn.Module):
    """Maps of several widths, each by a convolution of the same map, all returned."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.heads = nn.ModuleList(nn.Conv2d(16, width, 1) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu(self.stem(x))
        return [head(x) for head in self.heads]


class Boxes(nn.Module):
    """The head of boxes on what a convolution makes of an image: four boxes, and what none reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 8, 1), BoxHead(classes=5, width=8, hidden=24)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.head(F.relu(self.first(x)))
        return maps


@cache
def heads(*widths: int) -> Case:
    torch.manual_seed(1)
    return case_of(lively(Heads(*widths), 3), 12)


@pytest.mark.parametrize("widths", [(3, 12), (16, 16), (36, 12, 20)])
@pytest.mark.parametrize("preset", ["ultra96", "4x4"])
def test_each_of_several_maps_is_given_before_the_next_takes_its_place(widths: tuple[int, ...], preset: str) -> None:
    network = heads(*widths)
    program = Compiler(network.graph, PRESETS[preset]).compile({}, network.inputs[0])
    result, stepped = simulate(program, audit=True), step_simulate(program, fill_seed=1)
    assert first_difference(result.trace, stepped.trace) is None
    expected = network.reference.outputs_of(0)
    assert len(expected) == len(widths)
    for name, values in expected.items():
        np.testing.assert_array_equal(result.outputs[name], values, err_msg=name)


def test_a_fully_connected_layer_of_boxes_is_a_convolution_of_their_pixels() -> None:
    torch.manual_seed(2)
    network = case_of(lively(Boxes(), 3), 16)
    program = Compiler(network.graph, PRESETS["ultra96"]).compile({}, network.inputs[0])
    outputs = simulate(program, audit=True).outputs
    assert {values.shape for values in outputs.values()} == {(2, 2, 5), (2, 2, 20)}
    for name, values in network.reference.outputs_of(0).items():
        np.testing.assert_array_equal(outputs[name], values, err_msg=name)
