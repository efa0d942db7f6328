"""Several images in one program on the RTL, in the simulator's cycles."""

from __future__ import annotations

from gatewright.contract.arch import PRESETS
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.end_to_end.networks import captured
from tests.end_to_end.test_in_flight import group

ARCH = PRESETS["4x4"]


def test_three_images_of_which_two_are_in_flight_run_in_lockstep() -> None:
    case = captured("dual", 16)
    program = group(case, ARCH, 3, live=True)
    expectations = [expect(program)]
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    (result,) = lockstep.verify(bench, expectations)
    assert result.difference is None
