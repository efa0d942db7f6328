"""Runs whose gates decide what was compiled for, against runs of images on which they decide so."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.sim.fast.machine import simulate, simulate_decided
from tests.support.graphs import random_inputs, resnet_graph

SEED = 5


@pytest.mark.parametrize("preset", ["ultra96", "8x8"])
def test_an_images_own_decisions_take_that_images_cycles(preset: str) -> None:
    graph = resnet_graph(8, seed=SEED)
    samples = random_inputs(graph, 2, SEED)
    reference = run_reference(graph, samples)
    compiler = Compiler(graph, PRESETS[preset])
    for number, sample in enumerate(samples):
        program = compiler.compile({name: bits[number] for name, bits in reference.decisions.items()})
        true, decided = simulate(program, sample, observe=True), simulate_decided(program)
        assert decided.cycles == true.cycles
        assert np.array_equal(decided.trace.records, true.trace.records)


def test_gates_decide_what_no_image_makes_them() -> None:
    graph = resnet_graph(8, seed=SEED)
    gates = [layer for layer in graph.layers if isinstance(layer, QuantisedGate)]
    compiler = Compiler(graph, PRESETS["ultra96"])
    cycles = []
    for on in (False, True):
        program = compiler.compile({gate.name: np.full(gate.decision_shape, on) for gate in gates})
        run = simulate_decided(program)
        for gate in program.gates:
            assert run.masks[gate.mask :].reshape(-1)[: gate.bits].tolist() == [on] * gate.bits
        cycles.append(run.cycles)
    assert cycles[0] < cycles[1] / 2


def test_a_live_program_has_no_decisions() -> None:
    program = Compiler(resnet_graph(8, seed=SEED), PRESETS["ultra96"]).compile_live()
    with pytest.raises(GatewrightError, match="a live program has no decisions to run with"):
        simulate_decided(program)
