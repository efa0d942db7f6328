"""Maps that lie in DRAM, and half rows of tiles, on the RTL: every instruction's cycles and every write compared.

One of them is a max pool's, with parts of rows of tiles, where an instruction is taken to count no further than 150.
Another program is a live one, which streams filters that a table picks, too.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit import matrix, windows
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import Program
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.end_to_end.test_cut_tiles import APART, case
from tests.support.chain import compare_image
from tests.support.graphs import random_inputs, resnet_graph

ARCH = replace(PRESETS["4x4"], scratchpad_kib=8, weight_kib=16, patch_kib=8)


def test_maps_in_dram_and_cut_tiles_run_in_lockstep(monkeypatch: pytest.MonkeyPatch) -> None:
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
    expectations.append(expect(replace(_live_program(), arch=ARCH)))
    for module in (matrix, windows):
        monkeypatch.setattr(module, "MOST_TILES", 150)
    network, compiler = case("dual"), Compiler(case("dual").graph, replace(ARCH, scratchpad_kib=7))
    assert compiler.image.apart == APART
    compared = compare_image(compiler, network.inputs[0], network.reference, 0)
    assert compared.different == ()
    expectations.append(expect(replace(compared.program, arch=ARCH)))
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * len(expectations)
    assert all(result.writes and result.dram_writes for result in results)


def _live_program() -> Program:
    """With a smaller weight buffer's groups of filters."""
    graph = resnet_graph(8, channels_gated=True, size=16, seed=3, wider=1)
    sample, compiler = random_inputs(graph, 1, 4), Compiler(graph, replace(ARCH, weight_kib=8))
    live, reference = compiler.compile_live(), run_reference(graph, sample, keep=True)
    for opcode, name in ((Opcode.MATMUL, "in_order"), (Opcode.INDEX, "first_bit"), (Opcode.GATHER, "first_filter")):
        assert live.code[live.code[:, 0] == opcode][:, column(opcode, name)].any(), name
    assert any(region.kind == "map" for region in live.regions)
    compared = compare_image(compiler, sample[0], reference, 0, live=live)
    assert compared.different == ()
    return compared.program
