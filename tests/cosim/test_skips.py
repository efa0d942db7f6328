"""What a SKIP leaves out counts in the RTL as it does in the simulator, whatever comes behind it."""

from __future__ import annotations

import pytest

from gatewright.contract.isa import Opcode, Unit
from gatewright.verify import lockstep
from gatewright.verify.expectations import expect
from gatewright.verify.kit.check import machine_bench
from gatewright.verify.kit.programs import make_program, row
from tests.cosim.test_random_lockstep import ARCH


@pytest.mark.parametrize("unit", [Opcode.STORE, Opcode.INDEX])
def test_a_later_page_may_wait_for_what_comes_behind_an_instruction_of_its_unit_that_is_left_out(unit: Opcode) -> None:
    """The two are given in one cycle; each has to count, or the wait is refused as one for what does not come."""
    behind = row(Opcode.EPILOGUE, [(Unit[unit.name], 2)], tile=1)
    skip = row(Opcode.SKIP, instructions=1)
    program = make_program(ARCH, [skip, row(unit), row(unit), behind, row(unit)], page_size=5)
    assert [int(opcode) for opcode in program.code[:5, 0]] == [Opcode.LOAD, Opcode.SKIP, unit, unit, Opcode.NEXT]
    bench = machine_bench(ARCH)
    assert [result.difference for result in lockstep.verify(bench, [expect(program)])] == [None]
