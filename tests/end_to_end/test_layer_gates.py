"""ResNets whose gates leave out whole blocks: as the reference on the machine, with its MACs and without its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Opcode
from gatewright.contract.trace import first_difference
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.network import Network
from gatewright.models.families.spec import NetworkSpec
from gatewright.sim.stepped import step_simulate
from tests.compiler.networks import SmallBottleneck
from tests.end_to_end.networks import Case, forced
from tests.support.chain import compare_image
from tests.support.layer_gates import IMAGES, partly_on
from tests.support.tiled import SmallPooledBottleneck

SIZE = 16
BY_TILES = "bottleneck blocks, maps in DRAM by tiles"
NETWORKS: dict[str, Callable[[], Network]] = {
    "basic blocks": lambda: NetworkSpec(14, "aig", size=SIZE).build(),
    "bottleneck blocks": lambda: SmallBottleneck("aig", SIZE, 8, 2),
    BY_TILES: lambda: SmallPooledBottleneck("aig"),
    "SkipNet": lambda: NetworkSpec(14, "skip", size=SIZE).build(),
    "SkipNet, bottleneck blocks": lambda: SmallBottleneck("skip", SIZE, 8, 2),
}
MACHINES = {BY_TILES: replace(PRESETS["ultra96"], scratchpad_kib=13, weight_kib=24)}
"""Where it is not that of the preset: it holds few of the network's maps and filters."""


@cache
def made(name: str) -> tuple[Network, Case]:
    """A drawn network, of whose blocks a share runs, and what becomes of it in integers."""
    return partly_on(NETWORKS[name])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_and_gate_is_the_references_and_macs_are_the_networks(name: str) -> None:
    network, case = made(name)
    decided = case.reference.decisions
    gated = [block.has_layer for block in network.blocks()]
    assert len(decided) == sum(gated) and all(bits.shape == (IMAGES, 1, 1) for bits in decided.values())
    assert counted_macs(case.graph, None) == network.dense_macs()
    assert all(0 < bits.mean() < 1 for bits in decided.values())
    compiler = Compiler(case.graph, MACHINES.get(name, PRESETS["ultra96"]))
    for position, sample in enumerate(case.inputs[:3]):
        compared = compare_image(compiler, sample, case.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        decisions = {gate: bits[position] for gate, bits in decided.items()}
        off = [gate.partition("mask_l")[0] for gate, bit in decisions.items() if not bit]
        # LOADs bring what comes next, too, and STOREs take what a shortcut has made.
        rows = zip(compared.program.code[:, 0], compared.program.layers, strict=True)
        moves = Opcode.LOAD, Opcode.STORE
        emitted = {layer for opcode, layer in rows if opcode not in moves and layer.startswith(tuple(off))}
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


@pytest.mark.parametrize("always", [None, True, False])
def test_a_block_in_dram_is_computed_in_all_of_its_tiles_or_in_none(always: bool | None) -> None:
    """Replayed and by one program for all images; by gates' decisions, and where all blocks are on, or off."""
    _, case = made(BY_TILES)
    if always is not None:
        graph = forced(case.graph, "channel", always)
        case = Case(graph, case.inputs[:1], run_reference(graph, case.inputs[:1], keep=True))
    compiler = Compiler(case.graph, MACHINES[BY_TILES])
    assert {"layer1.0.conv1", "layer1.1.conv3", "layer2.0.downsample.0"} <= compiler.image.passes.keys()
    for live in (None, compiler.compile_live()):
        for position, sample in enumerate(case.inputs[: 1 if live is None else 3]):
            compared = compare_image(compiler, sample, case.reference, position, audit=True, live=live)
            assert compared.different == (), f"image {position}: {compared.different} differ"
        if always is None and live is not None:
            assert first_difference(compared.result.trace, step_simulate(compared.program, fill_seed=1).trace) is None
