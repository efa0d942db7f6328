"""The driver on the Verilated RTL of a small machine: results and counters of the simulator, every way to stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gatewright.contract.arch import INSTRUCTION_BYTES
from gatewright.contract.registers import ErrorCode
from gatewright.driver import Driver, load_program
from gatewright.driver import errors as wrong
from gatewright.driver.verilated import VerilatedMachine
from gatewright.machines.rtl import build_library
from gatewright.machines.simulator import SimulatedMachine
from tests.driver.tiny import ARCH, tiny_file, tiny_inputs

IMAGES = 5


def check_works(machine: VerilatedMachine, path: Path, wait: str = "interrupt") -> None:
    """Images, more than slots: outputs, exits and counters of each start are the simulator's."""
    program, inputs = load_program(path), tiny_inputs(IMAGES)
    with Driver(machine, program, slots=3, wait=wait, timeout=None) as driver:
        result = driver.run(inputs)
    with Driver(SimulatedMachine(ARCH), program, slots=3) as driver:
        expected = driver.run(inputs)
    assert result.starts == expected.starts
    for one, two in zip(result.images, expected.images, strict=True):
        assert one.left == two.left and one.outputs.keys() == two.outputs.keys()
        for name, values in two.outputs.items():
            np.testing.assert_array_equal(one.outputs[name], values)
    assert machine.memory.in_use == 0


def test_the_rtl_through_the_driver(tmp_path: Path) -> None:
    """One machine, never reset: between all that goes wrong it runs images as the simulator does."""
    made = tiny_file(tmp_path)
    machine = VerilatedMachine(build_library(ARCH))
    program, inputs = load_program(made.path), tiny_inputs(3)
    check_works(machine, made.path)
    check_works(machine, made.path, "poll")

    with Driver(machine, program, timeout=0) as driver, pytest.raises(wrong.TimedOutError, match="was aborted"):
        driver.run(tiny_inputs(16))
    check_works(machine, made.path)

    with Driver(machine, program) as driver:
        driver.start(inputs)
        driver.abort()
        with pytest.raises(wrong.AbortedError):
            driver.finish()
        assert len(driver.run(inputs).images) == 3

    with Driver(machine, program, cycle_limit=500) as driver, pytest.raises(wrong.StoppedError, match="CYCLE_LIMIT"):
        driver.run(inputs)
    check_works(machine, made.path)

    row = len(made.program.code) // 2
    place = made.program.code_address + row * INSTRUCTION_BYTES
    with Driver(machine, program) as driver:
        driver._memory[place : place + INSTRUCTION_BYTES] = 0
        with pytest.raises(wrong.StoppedError, match="ILLEGAL_OPCODE") as found:
            driver.run(inputs)
        assert found.value.code == ErrorCode.ILLEGAL_OPCODE and row in found.value.rows
        assert program.listing[row] in str(found.value)
    check_works(machine, made.path)

    size = made.program.code_address // 16 * 16 + 4096
    machine.limit(size)  # page 0 is there, the rings are not
    with Driver(machine, program) as driver, pytest.raises(wrong.StoppedError, match="READ_BUS"):
        driver.run(inputs)
    machine.limit(len(machine.memory.data))
    check_works(machine, made.path)
    with pytest.raises(wrong.LostError, match="0xfc is answered with 2"):
        machine.read(0xFC)
    check_works(machine, made.path)
    machine.close()


def test_a_memory_that_pauses_at_random(tmp_path: Path) -> None:
    """Other cycles, the same results."""
    program, inputs = load_program(tiny_file(tmp_path).path), tiny_inputs(2)
    found = []
    for stall in 0, 7:
        machine = VerilatedMachine(build_library(ARCH), stall)
        with Driver(machine, program, timeout=None) as driver:
            found.append(driver.run(inputs))
        machine.close()
    for one, two in zip(found[0].images, found[1].images, strict=True):
        for name, values in one.outputs.items():
            np.testing.assert_array_equal(two.outputs[name], values)
    assert found[0].starts[0].cycles < found[1].starts[0].cycles
