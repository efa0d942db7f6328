"""Maps that lie in DRAM, and half rows of tiles, on the RTL: every instruction's cycles and every write compared."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.support.chain import compare_image
from tests.support.graphs import random_inputs, resnet_graph

ARCH = replace(PRESETS["4x4"], scratchpad_kib=8, weight_kib=16, patch_kib=8)


def test_maps_in_dram_and_cut_tiles_run_in_lockstep() -> None:
    expectations = []
    for channels_gated, wider in ((False, 2), (True, 2), (False, 1)):
        graph = resnet_graph(8, channels_gated=channels_gated, size=16, seed=3, wider=wider)
        arch = ARCH if wider == 2 else replace(ARCH, scratchpad_kib=7)
        sample = random_inputs(graph, 1, 4)
        compared = compare_image(Compiler(graph, arch), sample[0], run_reference(graph, sample, keep=True), 0)
        assert compared.different == ()
        program = replace(compared.program, arch=ARCH)  # what fits a smaller scratchpad fits this one
        assert any(region.kind == "map" for region in program.regions) == (wider == 2)
        expectations.append(expect(program))
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * len(expectations)
    assert all(result.writes and result.dram_writes for result in results)
