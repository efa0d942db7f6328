"""Dilated kernels: whole, in pieces that begin with a kernel row, in bands, over maps in DRAM, and gated."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.gates.kinds import Gating
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively, lively_dilated
from tests.end_to_end.networks import Case, case_of
from tests.support.chain import compare_image

SIZE = 24
BLOCKS = {"basic": (BasicBlock, 16), "bottleneck": (Bottleneck, 8)}
SMALL = replace(PRESETS["8x8"], scratchpad_kib=13, weight_kib=8, patch_kib=8)
"""Where the maps of basic blocks do not fit, whole or in bands, and patches come in pieces."""


@cache
def case(kind: str, gating: Gating) -> Case:
    block, channels = BLOCKS[kind]
    return case_of(lively_dilated(gating, SIZE, channels, 2, block), SIZE)  # type: ignore[type-var]


def agree(network: Case, compiler: Compiler, position: int, audit: bool = False) -> Program:
    """An image's tensors and gates are the reference's."""
    compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=audit)
    assert compared.different == (), f"image {position}: {compared.different} differ"
    return compared.program


def dilated(program: Program) -> dict[int, list[int]]:
    """The first slices of the GATHERs with a dilation over 1, by dilation."""
    code = program.code[program.code[:, 0] == Opcode.GATHER]
    by = code[:, column(Opcode.GATHER, "dilation")], code[:, column(Opcode.GATHER, "first_slice")]
    return {int(d): sorted({*by[1][by[0] == d].tolist()}) for d in {*by[0].tolist()} if d > 1}


@pytest.mark.parametrize("preset", ["ultra96", "4x4", "12x20"])
@pytest.mark.parametrize("gating", ["none", "dual"])
@pytest.mark.parametrize("kind", BLOCKS)
def test_every_tensor_is_the_references(kind: str, gating: Gating, preset: str) -> None:
    compiler = Compiler(case(kind, gating).graph, PRESETS[preset])
    for position in (0, len(case(kind, gating).inputs) - 1):
        program = agree(case(kind, gating), compiler, position, audit=position == 0)
    assert dilated(program).keys() == {2, 4}


@pytest.mark.parametrize("gating", ["none", "dual", "spatial", "channel"])
def test_pieces_begin_with_a_kernel_row_where_maps_lie_in_dram(gating: Gating) -> None:
    compiler = Compiler(case("basic", gating).graph, SMALL)
    program = agree(case("basic", gating), compiler, 1, audit=True)
    assert compiler.image.blocks and compiler.image.spilled
    if gating == "none":  # rows of 3 pixels of 16 and of 32 channels, in slices of 8
        assert dilated(program) == {2: [0, 6, 12, 24], 4: [0, 12, 24]}


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_stepped_model_has_the_same_cycles(kind: str) -> None:
    network = case(kind, "dual")
    compared = compare_image(Compiler(network.graph, PRESETS["8x8"]), network.inputs[0], network.reference, 0)
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[0])


class Kernels(nn.Module):
    """Kernels of several shapes, steps and paddings, one of them without padding and one of groups."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(8, 12, (3, 2), stride=2, padding=3, dilation=3),
            nn.ReLU(),
            nn.Conv2d(12, 16, 1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=4),
            nn.ReLU(),
            nn.Conv2d(16, 10, 2, dilation=5),
            nn.ReLU(),
        )
        self.fc = nn.Linear(10, 4)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.convs(image).mean((2, 3)))
        return logits


@pytest.mark.parametrize("preset", ["ultra96", "4x4"])
def test_kernels_of_any_shape(preset: str) -> None:
    torch.manual_seed(2)
    module = lively(Kernels(), 4)
    network = case_of(module, 20)
    program = agree(network, Compiler(network.graph, PRESETS[preset]), 0, audit=True)
    assert dilated(program).keys() == {2, 3, 5}
    images = network.inputs[:2].transpose(0, 3, 1, 2).astype(np.float32) * network.graph.input_scale
    floats = run_float(capture(module, (3, 20, 20)), images)
    with torch.no_grad():
        np.testing.assert_allclose(floats.logits, module(torch.from_numpy(images)).numpy(), atol=1e-4)
