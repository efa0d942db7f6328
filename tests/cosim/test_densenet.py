"""A DenseNet on the RTL: concatenations in place, batch norms by themselves, GATHERs of some channels of a map."""

from __future__ import annotations

from gatewright.compiler.compile import Compiler
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.compiler.networks import lively_densenet
from tests.cosim.test_bottleneck import ARCH
from tests.end_to_end.networks import NETWORK_SEED, case_of
from tests.support.chain import compare_image


def test_a_densenet_runs_in_lockstep() -> None:
    network = case_of(lively_densenet(12, (2, 1), 4, 12, pooled=False, seed=NETWORK_SEED), 12)
    compiler = Compiler(network.graph, ARCH)
    compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
    assert compared.different == ()
    expectation = expect(compared.program)
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for([expectation]))
    (result,) = lockstep.verify(bench, [expectation])
    assert result.difference is None and result.writes
