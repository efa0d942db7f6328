"""A gated MobileNetV2 in one live program on the RTL: zeros beside active tiles, DEPTHWISE by tables."""

from __future__ import annotations

from gatewright.compiler.compile import Compiler
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.compiler.networks import lively_mobilenet
from tests.cosim.test_side_by_side import ARCH
from tests.end_to_end.networks import NETWORK_SEED, case_of
from tests.support.chain import compare_image


def test_images_run_in_lockstep_with_one_program() -> None:
    network = case_of(lively_mobilenet("dual", 28, NETWORK_SEED, channels=8), 28)
    compiler = Compiler(network.graph, ARCH)
    live = compiler.compile_live()
    compared = [
        compare_image(compiler, network.inputs[position], network.reference, position, audit=True, live=live)
        for position in range(2)
    ]
    assert [one.different for one in compared] == [()] * 2
    assert compared[0].result.cycles != compared[1].result.cycles
    expectations = [expect(one.program) for one in compared]
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * 2
