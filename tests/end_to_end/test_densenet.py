"""DenseNets: concatenations in place, batch norms by themselves, averages between blocks, maps in bands and in DRAM."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import lively, lively_densenet
from tests.end_to_end.networks import NETWORK_SEED, Case, case_of, forced
from tests.support.chain import compare_image

SMALL = {
    "pooled": {"size": 32},
    "cut averages": {"size": 36},
    "wide": {"size": 12, "growth": 16, "first": 32, "pooled": False},
    "deep": {"size": 8, "layers": (6, 6), "growth": 3, "first": 4, "pooled": False},
    "gated": {"size": 12, "growth": 16, "first": 32, "pooled": False, "gating": "ddi"},
}
"""A transition of 9 rows leaves one out."""


@cache
def case(name: str) -> Case:
    shape = SMALL[name]
    network = lively_densenet(**shape, seed=NETWORK_SEED)  # type: ignore[arg-type]
    return case_of(network, shape["size"])  # type: ignore[arg-type]


def agree(network: Case, compiler: Compiler, position: int = 0) -> Program:
    """An image's run, audited, is the reference's in every tensor, and the stepped model's in every cycle."""
    compared = compare_image(compiler, network.inputs[position], network.reference, position, audit=True)
    assert compared.different == (), f"{compared.different} differ"
    fast, stepped = compared.result, step_simulate(compared.program, fill_seed=1)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.dram, stepped.dram)
    np.testing.assert_array_equal(stepped.logits, network.reference.logits[position])
    return compared.program


@pytest.mark.parametrize("preset", ["ultra96", "ultra96-lean", "4x4", "12x20"])
@pytest.mark.parametrize("name", SMALL)
def test_every_tensor_is_the_references(name: str, preset: str) -> None:
    compiler = Compiler(case(name).graph, PRESETS[preset])
    for position in range(len(case(name).inputs)):
        compared = compare_image(compiler, case(name).inputs[position], case(name).reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        assert not compiler.image.chains and not compiler.image.spilled


@pytest.mark.parametrize(
    ("name", "preset"),
    [("pooled", "ultra96"), ("pooled", "ultra96-lean"), ("pooled", "4x4"), ("gated", "ultra96"), ("gated", "12x20")],
)
def test_the_stepped_model_agrees(name: str, preset: str) -> None:
    agree(case(name), Compiler(case(name).graph, PRESETS[preset]))


def test_gates_of_dense_layers_decide_both_ways_and_save_both_convolutions_work() -> None:
    network, compiler = case("gated"), Compiler(case("gated").graph, PRESETS["ultra96"])
    decisions = {name: bits[0] for name, bits in network.reference.decisions.items()}
    assert len(decisions) == 5 and all(0 < bits.mean() < 1 for bits in network.reference.decisions.values())
    macs = compiler.compile(decisions).macs
    for gate, bits in decisions.items():
        layer = gate.partition(".mask_c")[0]
        on, wide = int(bits.sum()), bits.size
        dense = {
            name: one.macs(network.graph, None)
            for name in ("conv1", "conv2")
            for one in network.graph.layers
            if one.name == f"{layer}.{name}"
        }
        assert {name: macs[f"{layer}.{name}"] * wide for name in dense} == {n: m * on for n, m in dense.items()}


@pytest.mark.parametrize("on", [True, False])
def test_all_or_none_of_the_channels_between_convolutions(on: bool) -> None:
    graph, sample = forced(case("gated").graph, "channel", on), case("gated").inputs[0]
    reference = run_reference(graph, sample[None], keep=True)
    assert {bool(bit) for bits in reference.decisions.values() for bit in bits.flat} == {on}
    for preset in ("ultra96", "ultra96-lean"):
        assert compare_image(Compiler(graph, PRESETS[preset]), sample, reference, 0, audit=True).different == ()


def kinds(program: Program, kind: EpilogueKind) -> set[str]:
    """The layers with an EPILOGUE of a kind."""
    chosen = (program.code[:, 0] == Opcode.EPILOGUE) & (program.code[:, column(Opcode.EPILOGUE, "kind")] == kind)
    return {program.layers[number] for number in np.flatnonzero(chosen)}


def apart(program: Program) -> set[str]:
    """The layers whose GATHERs read some channels of a map."""
    chosen = (program.code[:, 0] == Opcode.GATHER) & (program.code[:, column(Opcode.GATHER, "pixel_channels")] > 0)
    return {program.layers[number] for number in np.flatnonzero(chosen)}


def test_batch_norms_are_epilogues_where_the_machine_has_them_and_else_products() -> None:
    graph = case("pooled").graph
    norms = {f"parts.{number}.norm1" for number in (0, 1, 2, 4, 5)} | {"parts.3.norm", "norm5"}
    averages = {"parts.3.norm.average_pool"}
    program, lean = (Compiler(graph, PRESETS[name]).compile({}) for name in ("ultra96", "ultra96-lean"))
    assert kinds(program, EpilogueKind.DEPTHWISE) == norms and not kinds(lean, EpilogueKind.DEPTHWISE)
    assert kinds(program, EpilogueKind.AVERAGE) == kinds(lean, EpilogueKind.AVERAGE) == averages
    # What reads the batch norm of a prefix reads a part of each pixel; so does a batch norm on the array.
    assert {"parts.0.conv1", "parts.1.conv1", "parts.4.conv1"} <= apart(program) and norms <= apart(lean)


def test_many_channels_are_normalised_on_the_array() -> None:
    """Four parameter entries a channel are more than one in sixteen of the buffer's."""
    graph, few = case("wide").graph, replace(PRESETS["ultra96"], parameter_entries=2048)
    assert 0 < len(kinds(Compiler(graph, few).compile({}), EpilogueKind.DEPTHWISE)) < 7
    agree(case("wide"), Compiler(graph, few))


@pytest.mark.parametrize("preset", ["ultra96", "ultra96-lean"])
def test_maps_that_do_not_fit_come_by_rows(preset: str) -> None:
    arch = replace(PRESETS[preset], scratchpad_kib=20)
    network = case("wide")
    compiler = Compiler(network.graph, arch)
    assert compiler.image.chains and not compiler.image.spilled
    agree(network, compiler)


@pytest.mark.parametrize("preset", ["ultra96", "ultra96-lean"])
@pytest.mark.parametrize(("name", "kib"), [("wide", 10), ("pooled", 4)])
def test_concatenations_that_do_not_fit_lie_in_dram(name: str, kib: int, preset: str) -> None:
    arch = replace(PRESETS[preset], scratchpad_kib=kib)
    network = case(name)
    compiler = Compiler(network.graph, arch)
    assert compiler.image.chains and compiler.image.spilled
    agree(network, compiler)


def test_what_does_not_fit_at_all_is_refused() -> None:
    with pytest.raises(
        GatewrightError, match=r"the scratchpad of 5 KiB .* \d+ bytes are missing; raise scratchpad_kib"
    ):
        Compiler(case("wide").graph, replace(PRESETS["ultra96"], scratchpad_kib=5))
    agree(case("wide"), Compiler(case("wide").graph, replace(PRESETS["ultra96"], scratchpad_kib=6)))


class Branches(nn.Module):
    """Convolutions of one map side by side, their outputs concatenated, and read whole and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(20)
        self.one, self.three, self.five = (nn.Conv2d(8, n, k, padding=k // 2) for n, k in ((4, 1), (7, 3), (9, 5)))
        self.after, self.last, self.fc = nn.Conv2d(20, 12, 3, 2, 1), nn.Conv2d(20, 12, 3, 2, 1), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = torch.cat((F.relu(self.one(x)), F.relu(self.three(x)), self.five(x)), dim=1)
        x = self.after(x) + self.last(F.relu(self.norm(x)))
        logits: Tensor = self.fc(F.relu(x).mean((2, 3)))
        return logits


@pytest.mark.parametrize("preset", ["ultra96", "ultra96-lean", "12x20"])
def test_branches_of_several_kernels(preset: str) -> None:
    network = case_of(lively(Branches(), NETWORK_SEED), 12)
    agree(network, Compiler(network.graph, PRESETS[preset]))


class Parts(nn.Module):
    """A map of two parts, of which others read the first or the whole: ``end`` says how."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.end = end
        self.a, self.b, self.norm = nn.Conv2d(3, 10, 3, padding=1), nn.Conv2d(10, 6, 1), nn.BatchNorm2d(16)
        self.first, self.whole, self.gate = nn.Conv2d(10, 20, 3), nn.Conv2d(16, 20, 3), nn.Linear(16, 20)
        self.last, self.fc = nn.Conv2d(20, 20, 1), nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        y = torch.cat((x, F.relu(self.b(x))), 1)
        if self.end == "max pool":
            y = F.max_pool2d(y, 2)
        if self.end == "max pool of a norm":
            y = F.max_pool2d(self.norm(y), 2)
        z = self.whole(self.norm(y) if self.end == "both" else y)
        if self.end == "gate":
            z = z * (self.gate(y.mean((2, 3))) >= 0).to(z.dtype)[:, :, None, None]
        if self.end == "both":
            z = z + self.first(x)
        logits: Tensor = self.fc(F.relu(self.last(F.relu(z))).mean((2, 3)))
        return logits


@pytest.mark.parametrize("preset", ["ultra96", "ultra96-lean", "4x4"])
def test_a_kernel_of_several_columns_reads_a_part(preset: str) -> None:
    network = case_of(lively(Parts("both"), NETWORK_SEED), 12)
    program = agree(network, Compiler(network.graph, PRESETS[preset]))
    assert "first" in apart(program)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("max pool", r"it pools the output of convolution b, which has a place behind a; .* not a concatenation"),
        ("max pool of a norm", "it pools the output of norm, a depthwise convolution, a batch norm by itself"),
        ("gate", "a gate looks at b, which is a concatenation or a part of one; averages for gates"),
    ],
)
def test_what_reads_a_concatenation_otherwise_is_refused(end: str, message: str) -> None:
    with pytest.raises(GatewrightError, match=message):
        Compiler(case_of(lively(Parts(end), NETWORK_SEED), 12).graph, PRESETS["ultra96"])
