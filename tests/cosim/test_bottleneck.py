"""Gated bottleneck blocks on the RTL: a gate that looks at a masked map, filters of a group that a table picks."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.compiler.networks import lively_bottleneck
from tests.end_to_end.networks import NETWORK_SEED, case_of
from tests.support.chain import compare_image

ARCH = replace(PRESETS["4x4"], weight_kib=4)


def test_gated_bottleneck_blocks_run_in_lockstep() -> None:
    expectations = []
    for gating in ("dual", "channel"):
        network = case_of(lively_bottleneck(gating, 16, NETWORK_SEED), 16)
        compiler = Compiler(network.graph, ARCH)
        assert compiler.image.banks["layer2.1.conv2"].picked
        compared = compare_image(compiler, network.inputs[0], network.reference, 0)
        assert compared.different == ()
        expectations.append(expect(compared.program))
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * len(expectations)
    assert all(result.writes for result in results)
