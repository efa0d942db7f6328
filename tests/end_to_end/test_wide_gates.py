"""Channel gates of more decisions than one mask holds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import MASK_BITS, PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.trace import first_difference
from gatewright.models.gates.dgnet import ChannelGate
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively
from tests.end_to_end.networks import Case, case_of
from tests.support.chain import compare_image

SIZE, WIDE = 8, 600
"""Of two masks."""


class WideGate(nn.Module):
    """A block whose channel gate decides about ``WIDE`` channels, between a 1x1 convolution and another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.gate = ChannelGate(8, WIDE, hidden=4)
        self.expand, self.project = nn.Conv2d(8, WIDE, 1), nn.Conv2d(WIDE, 8, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem(image))
        inner = torch.relu(self.expand(x)) * self.gate(x)
        logits: Tensor = self.fc(torch.relu(self.project(inner) + x).mean((2, 3)))
        return logits


@cache
def case() -> Case:
    torch.manual_seed(1)
    return case_of(lively(WideGate(), 5), SIZE)


def test_masks_follow_one_another() -> None:
    network, arch = case(), replace(PRESETS["ultra96"], table_entries=1024)
    compiler = Compiler(network.graph, arch)
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=position == 0)
        assert compared.different == ()
    (gate,) = compared.program.gates
    assert gate.bits == WIDE > MASK_BITS and 0 < len(gate.table) < WIDE


def test_the_stepped_model_agrees() -> None:
    network, arch = case(), replace(PRESETS["8x8"], table_entries=1024)
    compared = compare_image(Compiler(network.graph, arch), network.inputs[1], network.reference, 1)
    stepped = step_simulate(compared.program, fill_seed=4)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[1])


def test_a_sample_with_more_than_a_table_holds_is_refused() -> None:
    network = case()
    on = int(network.reference.decisions["gate"][0].sum())
    with pytest.raises(GatewrightError, match=f"gate gate: {on} of its {WIDE} decisions are on.*holds 256.*raise"):
        arch = replace(PRESETS["ultra96"], table_entries=256)
        Compiler(network.graph, arch).compile({"gate": network.reference.decisions["gate"][0]})
