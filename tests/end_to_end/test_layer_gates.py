"""ResNets whose gates leave out whole blocks: as the reference on the machine, with its MACs and without its cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Opcode
from gatewright.contract.trace import first_difference
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.network import Network
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.calibration import calibrate_network
from gatewright.models.synthetic.densities import densities
from gatewright.models.synthetic.noise import noise_images
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import SmallBottleneck
from tests.end_to_end.networks import Case
from tests.support.chain import compare_image

SIZE, IMAGES, DENSITY, SEED = 16, 8, 0.6, 3
NETWORKS: dict[str, Callable[[], Network]] = {
    "basic blocks": lambda: NetworkSpec(14, "aig", size=SIZE).build(),
    "bottleneck blocks": lambda: SmallBottleneck("aig", SIZE, 8, 2),
    "SkipNet": lambda: NetworkSpec(14, "skip", size=SIZE).build(),
    "SkipNet, bottleneck blocks": lambda: SmallBottleneck("skip", SIZE, 8, 2),
}


@cache
def made(name: str) -> tuple[Network, Case]:
    """A drawn network, of whose blocks a share runs, and what becomes of it in integers."""
    images = noise_images(IMAGES, SIZE, 1, CIFAR10).normalised()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = NETWORKS[name]()
        calibrate_network(network, torch.from_numpy(images), densities(network, DENSITY, 1), hold_macs=False)
    graph = capture(network, (3, SIZE, SIZE))
    quantised = quantise(graph, calibrate(graph, images))
    inputs = quantise_input(images, quantised)
    return network, Case(quantised, inputs, run_reference(quantised, inputs, keep=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_and_gate_is_the_references_and_macs_are_the_networks(name: str) -> None:
    network, case = made(name)
    decided = case.reference.decisions
    gated = [block.has_layer for block in network.blocks()]
    assert len(decided) == sum(gated) and all(bits.shape == (IMAGES, 1, 1) for bits in decided.values())
    assert counted_macs(case.graph, None) == network.dense_macs()
    assert all(0 < bits.mean() < 1 for bits in decided.values())
    compiler = Compiler(case.graph, PRESETS["ultra96"])
    for position, sample in enumerate(case.inputs[:3]):
        compared = compare_image(compiler, sample, case.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        decisions = {gate: bits[position] for gate, bits in decided.items()}
        off = [gate.partition("mask_l")[0] for gate, bit in decisions.items() if not bit]
        # LOADs bring what comes next, too.
        rows = zip(compared.program.code[:, 0], compared.program.layers, strict=True)
        emitted = {layer for opcode, layer in rows if opcode != Opcode.LOAD and layer.startswith(tuple(off))}
        assert {layer.split(".")[2] for layer in emitted} <= {"mask_l", "downsample"}
        bits = iter(decisions.values())
        masks = [BlockMasks(torch.from_numpy(next(bits)[None, None]).float() if has else None, None) for has in gated]
        assert counted_macs(case.graph, decisions) == int(network.gated_macs(masks))


@pytest.mark.parametrize("name", ["basic blocks", "SkipNet"])
def test_the_stepped_model_agrees(name: str) -> None:
    _, case = made(name)
    for preset in ("4x4", "12x20"):
        compared = compare_image(Compiler(case.graph, PRESETS[preset]), case.inputs[1], case.reference, 1, audit=True)
        assert compared.different == ()
    assert first_difference(compared.result.trace, step_simulate(compared.program, fill_seed=1).trace) is None
