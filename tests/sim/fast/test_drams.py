"""One run of the values, and the cycles with several DRAMs: those of runs of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from gatewright.sim.fast.machine import cycles_by_dram, simulate
from tests.support.graphs import random_inputs, resnet_graph


def test_cycles_with_other_drams_are_those_of_their_own_runs() -> None:
    arch, graph = PRESETS["ultra96"], resnet_graph(8, seed=3)
    inputs = random_inputs(graph, 1, 3)
    reference = run_reference(graph, inputs)
    decisions = {name: decided[0] for name, decided in reference.decisions.items()}
    program = Compiler(graph, arch).compile(decisions)
    drams = [replace(arch.dram, beats=1, per_cycles=5), arch.dram, replace(arch.dram, latency=200, outstanding=2)]
    logits, cycles = cycles_by_dram(program, drams, inputs[0])
    assert np.array_equal(logits, reference.logits[0])
    own = [simulate(replace(program, arch=replace(arch, dram=dram)), inputs[0]).cycles for dram in drams]
    assert cycles == own and len(set(own)) == 3
