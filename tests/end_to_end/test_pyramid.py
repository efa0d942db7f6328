"""Feature pyramids: several maps returned, coarse maps added to finer ones, residuals that are read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively
from tests.end_to_end.networks import Case, case_of
from tests.support.chain import compare_image
from tests.support.pyramid import Pyramid

SIZE = 16


class ReadAgain(nn.Module):
    """A map that two sums add and a convolution reads in between, returned beside logits; or other maps alone."""

    def __init__(self, channels: int = 6, logits: bool = True) -> None:
        super().__init__()
        self.logits = logits
        self.stem = nn.Conv2d(3, channels, 3, 1, 1)
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(3))
        self.fc = nn.Linear(channels, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        stem = torch.relu(self.stem(image))
        first = torch.relu(self.convs[0](stem) + stem)
        second = torch.relu(self.convs[1](first))
        third = torch.relu(self.convs[2](second) + stem)
        return (self.fc(third.mean((2, 3))), stem) if self.logits else (third, first)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "pyramid": Pyramid,
    "read again": ReadAgain,
    "maps alone": partial(ReadAgain, 24, False),
}


@cache
def module(name: str) -> nn.Module:
    torch.manual_seed(3)
    return lively(NETWORKS[name](), 5)


@cache
def case(name: str, size: int = SIZE) -> Case:
    return case_of(module(name), size)


def upsampling(program: Program) -> list[tuple[int, int]]:
    """(elsewhere, upsample) of the EPILOGUEs that add something."""
    code = program.code[program.code[:, 0] == Opcode.EPILOGUE]
    columns = [column(Opcode.EPILOGUE, name) for name in ("elsewhere", "upsample")]
    return sorted({(int(a), int(b)) for a, b in code[code[:, column(Opcode.EPILOGUE, "residual")] == 1][:, columns]})


@pytest.mark.parametrize("preset", ["4x4", "ultra96", "12x20"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_output_is_the_references(name: str, preset: str) -> None:
    network, compiler = case(name), Compiler(case(name).graph, PRESETS[preset])
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=position == 0)
        assert compared.different == (), f"image {position}: {compared.different} differ"
    assert upsampling(compared.program) == ([(1, 1)] if name == "pyramid" else [(0, 0), (1, 0)])


def test_a_residual_from_elsewhere_comes_in_a_ring() -> None:
    network = case("maps alone")
    compiler = Compiler(network.graph, replace(PRESETS["8x8"], scratchpad_kib=9))
    compared = compare_image(compiler, network.inputs[1], network.reference, 1, audit=True)
    assert compared.different == ()
    conv = next(la for la in network.graph.layers if isinstance(la, QuantisedConv) and la.elsewhere)
    assert conv.residual in compiler.image.spilled
    assert {output.region.kind for output in compared.program.outputs} == {"output", "map"}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_stepped_model_has_the_same_cycles_and_outputs(name: str) -> None:
    network = case(name)
    compared = compare_image(Compiler(network.graph, PRESETS["4x4"]), network.inputs[0], network.reference, 0)
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    for output, values in network.reference.outputs_of(0).items():
        np.testing.assert_array_equal(stepped.outputs[output], values, err_msg=output)


def test_outputs_times_their_scale_are_what_the_network_computes() -> None:
    network, graph = case("pyramid"), capture(module("pyramid"), (3, SIZE, SIZE))
    program = Compiler(network.graph, PRESETS["4x4"]).compile({})
    images = network.inputs[:3].transpose(0, 3, 1, 2).astype(np.float32) * network.graph.input_scale
    floats = run_float(graph, images)
    with torch.no_grad():
        expected = module("pyramid")(torch.from_numpy(images))
    for (name, values), wanted, output in zip(floats.outputs.items(), expected, program.outputs, strict=True):
        np.testing.assert_allclose(values, wanted.numpy(), atol=1e-4)
        assert output.name == name
        error = network.reference.outputs[name][:3] * output.scale - values.transpose(0, 2, 3, 1)
        assert np.sqrt((error**2).mean()) < 0.1 * values.std()
