"""Dilated kernels, gates and pyramid pooling on the RTL: in pieces, over maps in DRAM, by filters that come again."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.models.gates.kinds import Gating
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.support.chain import compare_image
from tests.support.segmentation import pspnet_case

ARCH = replace(PRESETS["4x4"], scratchpad_kib=8, weight_kib=16, patch_kib=8)  # as other tests have it
CASES: tuple[tuple[Gating, int], ...] = (("none", 1), ("dual", 2))
"""Gates, and the KiB of weights that the program is made for."""


def test_small_segmentation_networks_run_in_lockstep() -> None:
    expectations = []
    for gating, weights in CASES:
        network = pspnet_case("basic", gating, 8, 6)
        compiler = Compiler(network.graph, replace(ARCH, weight_kib=weights, patch_kib=2))
        compared = compare_image(compiler, network.inputs[0], network.reference, 0)
        assert compared.different == () and compiler.image.spilled
        assert compiler.image.banks["conv"].returns == (gating == "none")
        expectations.append(expect(replace(compared.program, arch=ARCH)))  # what fits smaller buffers fits these
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * len(expectations)
