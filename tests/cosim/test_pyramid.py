"""Feature pyramids on the RTL: residuals from elsewhere, whole and in rings, and every returned map compared."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.end_to_end.test_pyramid import case, upsampling
from tests.support.chain import compare_image

ARCH = replace(PRESETS["4x4"], scratchpad_kib=8, weight_kib=16, patch_kib=8)  # as other tests have it
TIGHT = replace(ARCH, scratchpad_kib=4)


def test_pyramids_run_in_lockstep() -> None:
    expectations = []
    for name, size, arch in (("read again", 16, ARCH), ("pyramid", 24, TIGHT)):
        network = case(name, size)
        compared = compare_image(Compiler(network.graph, arch), network.inputs[0], network.reference, 0)
        assert compared.different == () and (1, int(name == "pyramid")) in upsampling(compared.program)
        program = replace(compared.program, arch=ARCH)  # what fits a smaller scratchpad fits this one
        assert any(region.kind == "map" for region in program.regions) == (arch is TIGHT)
        expectations.append(expect(program))
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * len(expectations)
