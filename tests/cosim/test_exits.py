"""A live program's early exits on the RTL: taken, and passed by."""

from __future__ import annotations

from dataclasses import replace

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.support.exits import exits_case, one_for_each

ARCH = PRESETS["4x4"]


def test_images_that_leave_and_that_stay_run_in_lockstep() -> None:
    case = exits_case(size=8)
    live = Compiler(case.graph, ARCH).compile_live()
    positions = one_for_each(case.reference.taken)
    expectations = [expect(replace(live, image=live.with_sample(case.inputs[position]))) for position in positions]
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * 3
    assert results[0].cycles < results[1].cycles < results[2].cycles
