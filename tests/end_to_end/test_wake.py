"""Gates' hidden layers and the classifier in the wake of the convolution whose output they average."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.plan import allocate, network_image
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.trace import first_difference
from gatewright.models.families.residual.bottleneck import Bottleneck
from gatewright.models.families.residual.network import ResidualNetwork, Stage
from gatewright.models.gates.kinds import Gating
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively
from tests.end_to_end.networks import NETWORK_SEED, Case, case_of, forced, only_one
from tests.support.chain import compare_image

SIZE = 16
WHOLE = replace(PRESETS["ultra96"], weight_kib=12)
BY_TILES = replace(WHOLE, scratchpad_kib=28)
"""Maps lie in DRAM; a block's third convolution and its shortcut go by tiles."""

ARCHS = {"whole": WHOLE, "by tiles": BY_TILES}
FOLLOWERS = {"layer2.0.conv3": "layer2.1.mask_c1.hidden", "layer2.1.conv3": "layer2.2.mask_c1.hidden"}


class SmallWideBottleneck(ResidualNetwork[Bottleneck]):
    """Three blocks of 256 channels, and more classes than the weight buffer holds filters for."""

    def __init__(self, gating: Gating) -> None:
        stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        super().__init__(14, gating, 72, SIZE, stem, SIZE, [Stage(32, 1, 4, 1), Stage(64, 2, 2, 3)], Bottleneck)

    def stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)))


@cache
def case(gating: Gating) -> Case:
    return case_of(lively(SmallWideBottleneck(gating), NETWORK_SEED), SIZE)


@pytest.mark.parametrize("where", ARCHS)
def test_every_tensor_is_the_references_and_the_stepped_model_agrees(where: str) -> None:
    network, compiler = case("dual"), Compiler(case("dual").graph, ARCHS[where])
    banks = {name: wake.bank for name, wake in compiler.image.wakes.items()}
    assert banks == {**FOLLOWERS, "layer2.2.conv3": "fc"}
    assert ("layer2.0.downsample.0" in compiler.image.passes) == (where == "by tiles")
    for position in (0, len(network.inputs) - 1):
        compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
    stepped = step_simulate(compared.program, fill_seed=1)
    assert first_difference(compared.result.trace, stepped.trace) is None
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[-1])


@pytest.mark.parametrize("where", ARCHS)
@pytest.mark.parametrize("name", ["all on", "all off", "one channel in one tile"])
def test_forced_decisions(name: str, where: str) -> None:
    """With all tiles off nothing of the convolution is there to follow: all is multiplied behind it."""
    graph, sample = case("dual").graph, case("dual").inputs[0]
    for kind in ("channel", "spatial"):
        graph = only_one(graph, kind, sample) if name.startswith("one") else forced(graph, kind, name == "all on")
    reference = run_reference(graph, sample[None], keep=True)
    assert compare_image(Compiler(graph, ARCHS[where]), sample, reference, 0, audit=True).different == ()


def test_the_filters_come_while_the_convolution_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gates, and with all of them on, the classifier's and the hidden layers' are hidden in part."""
    sample = case("dual").inputs[0]
    gated = forced(forced(case("dual").graph, "channel", True), "spatial", True)
    decisions = {name: bits[0] for name, bits in run_reference(gated, sample[None]).decisions.items()}

    def cycles(arch: ArchConfig) -> list[int]:
        programs = (
            Compiler(without_gates(gated), arch).compile({}, sample),
            Compiler(gated, arch).compile(decisions, sample),
        )
        return [simulate(program).cycles for program in programs]

    following = cycles(WHOLE)
    for module in (allocate, network_image):
        monkeypatch.setattr(module, "wakes_of", lambda graph, arch: [])
    alone = cycles(WHOLE)
    assert all(one < other for one, other in zip(following, alone, strict=True)), (following, alone)
