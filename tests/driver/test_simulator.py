"""The driver on the simulator behind registers: results, every kind of error, and that the next run works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import INSTRUCTION_BYTES, PRESETS
from gatewright.contract.registers import ErrorCode
from gatewright.driver import Driver, load_program
from gatewright.driver import errors as wrong
from gatewright.driver.registers import DESCRIBING, OFFSETS
from gatewright.driver_export import export_program
from gatewright.machines.simulator import SimulatedMachine
from gatewright.sim.fast.machine import simulate
from gatewright.verify.kit.generate.illegal import SPOILERS, inside_row, spoil
from gatewright.verify.kit.generate.random_programs import random_network
from tests.driver.tiny import ARCH, Tiny, tiny_file, tiny_graph, tiny_inputs
from tests.end_to_end.networks import captured
from tests.end_to_end.test_in_flight import group

IMAGES = 7


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tiny_file(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def machine() -> SimulatedMachine:
    return SimulatedMachine(ARCH)


@pytest.fixture
def driver(machine: SimulatedMachine, tiny: Tiny) -> Iterator[Driver]:
    with Driver(machine, load_program(tiny.path), slots=3) as made:
        yield made
    assert machine.memory.in_use == 0


def check_works(driver: Driver) -> None:
    """Images, more than slots, and what the reference says of them."""
    inputs = tiny_inputs(IMAGES)
    reference = run_reference(tiny_graph(), inputs)
    result = driver.run(inputs)
    assert len(result.images) == IMAGES and sum(one.images for one in result.starts) == IMAGES
    for number, one in enumerate(result.images):
        expected = reference.outputs_of(number)
        assert one.left == reference.taken[number] and one.outputs.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(one.outputs[name], values)


@pytest.mark.parametrize("wait", ["interrupt", "poll"])
def test_more_images_than_slots(machine: SimulatedMachine, tiny: Tiny, wait: str) -> None:
    with Driver(machine, load_program(tiny.path), slots=3, wait=wait) as driver:
        check_works(driver)
    assert machine.memory.in_use == 0


def test_the_program_s_own_image_once(driver: Driver) -> None:
    assert len(driver.run_own().images) == 1
    check_works(driver)


def test_a_program_for_another_machine(tiny: Tiny) -> None:
    with pytest.raises(wrong.WrongMachineError, match=r"tiny.*arch 4x4 \(4x4\).*\(8x8\) has rows = 8"):
        Driver(SimulatedMachine(PRESETS["8x8"]), load_program(tiny.path))


@pytest.mark.parametrize(("register", "message"), [("ID", "no Gatewright at this address"), ("VERSION", "version 99")])
def test_something_else_at_this_address(machine: SimulatedMachine, tiny: Tiny, register: str, message: str) -> None:
    read = machine.read
    machine.read = lambda offset: 99 if offset == OFFSETS[register] else read(offset)  # type: ignore[method-assign]
    with pytest.raises(wrong.WrongMachineError, match=message):
        Driver(machine, load_program(tiny.path))
    assert machine.memory.in_use == 0


@pytest.mark.parametrize("register", DESCRIBING)
def test_a_machine_that_differs_in_one_size(machine: SimulatedMachine, tiny: Tiny, register: str) -> None:
    read, place = machine.read, OFFSETS[register]
    machine.read = lambda offset: read(offset) + (offset == place)  # type: ignore[method-assign]
    size = read(place)
    with pytest.raises(wrong.WrongMachineError, match=f"{DESCRIBING[register]} = {size + 1}, the program needs {size}"):
        Driver(machine, load_program(tiny.path))
    assert machine.memory.in_use == 0


def test_files_that_are_no_programs(tiny: Tiny, tmp_path: Path) -> None:
    data = tiny.path.read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    with pytest.raises(wrong.WrongProgramError, match="cannot read"):
        load_program(damaged)
    for name, spoilt in {
        "no header": data[:5],
        "cut": data[: len(data) // 2],
        "another": data.replace(b"gatewright-program", b"gatewright-prograM"),
        "a bit": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        "text": b"hello, world",
    }.items():
        damaged.write_bytes(spoilt)
        with pytest.raises(wrong.WrongProgramError, match="damaged|format"):
            load_program(damaged)
        assert name


def test_samples_of_another_shape(driver: Driver) -> None:
    for sample in tiny_inputs(1)[0][1:], tiny_inputs(1)[0].astype(np.float32):
        with pytest.raises(wrong.WrongInputError, match=r"takes int8 \[8, 8, 3\]"):
            driver.run([sample])
    with pytest.raises(wrong.WrongInputError, match="no images"):
        driver.start([])
    check_works(driver)


def test_a_full_ring(driver: Driver) -> None:
    with pytest.raises(wrong.RingFullError, match="4 images, and the ring has 3 slots"):
        driver.start(tiny_inputs(4))
    check_works(driver)


@pytest.mark.parametrize("slots", [-1, 0, 65_536])
def test_slots_that_the_registers_cannot_hold(machine: SimulatedMachine, tiny: Tiny, slots: int) -> None:
    with pytest.raises(wrong.DriverError, match=f"slots = {slots} is not 1 to 65535"):
        Driver(machine, load_program(tiny.path), slots=slots)
    assert machine.memory.in_use == 0


def test_no_room(machine: SimulatedMachine, tiny: Tiny) -> None:
    with pytest.raises(wrong.DriverError, match="no room for"):
        Driver(machine, load_program(tiny.path), slots=60_000)
    assert machine.memory.in_use == 0


def test_a_timeout(machine: SimulatedMachine, tiny: Tiny) -> None:
    with Driver(machine, load_program(tiny.path), timeout=0) as driver, pytest.raises(wrong.TimedOutError, match="0 s"):
        driver.run(tiny_inputs(1))
    with Driver(machine, load_program(tiny.path)) as driver:
        check_works(driver)


def test_an_abort(driver: Driver) -> None:
    driver.start(tiny_inputs(1))
    with pytest.raises(wrong.DriverError, match="the machine runs"):
        driver.start(tiny_inputs(1))
    driver.abort()
    with pytest.raises(wrong.AbortedError, match="aborted"):
        driver.finish()
    with pytest.raises(wrong.DriverError, match="nothing was started"):
        driver.finish()
    check_works(driver)


def test_a_key_pressed_while_the_machine_runs(machine: SimulatedMachine, driver: Driver) -> None:
    def pressed(seconds: float) -> bool:
        raise KeyboardInterrupt

    wait, machine.wait = machine.wait, pressed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        driver.run(tiny_inputs(1))
    machine.wait = wait  # type: ignore[method-assign]
    check_works(driver)


def test_a_limit_of_cycles(machine: SimulatedMachine, tiny: Tiny) -> None:
    with Driver(machine, load_program(tiny.path), cycle_limit=1000) as driver:
        with pytest.raises(wrong.StoppedError, match="CYCLE_LIMIT") as found:
            driver.run(tiny_inputs(1))
        assert found.value.code == ErrorCode.CYCLE_LIMIT


def test_a_machine_that_loses_an_image(machine: SimulatedMachine, driver: Driver) -> None:
    read = machine.read
    machine.read = lambda at: 1 if at == OFFSETS["IMAGE"] else read(at)  # type: ignore[method-assign]
    with pytest.raises(wrong.LostError, match="after 1 of 3 runs"):
        driver.run(tiny_inputs(3))
    machine.read = read  # type: ignore[method-assign]
    check_works(driver)


def test_an_error_in_the_middle_names_the_instruction(machine: SimulatedMachine, driver: Driver, tiny: Tiny) -> None:
    row = len(tiny.program.code) // 2
    place = tiny.program.code_address + row * INSTRUCTION_BYTES
    good = driver._memory[place : place + INSTRUCTION_BYTES].copy()
    driver._memory[place : place + INSTRUCTION_BYTES] = 0
    with pytest.raises(wrong.StoppedError, match="ILLEGAL_OPCODE") as found:
        driver.run(tiny_inputs(1))
    assert found.value.code == ErrorCode.ILLEGAL_OPCODE and row in found.value.rows
    (line,) = (line for line in found.value.lines if line.split()[0] == str(row))
    assert line == driver.program.listing[row] and line in str(found.value)
    driver._memory[place : place + INSTRUCTION_BYTES] = good
    check_works(driver)


def test_a_program_for_one_image_takes_no_other(tmp_path: Path, machine: SimulatedMachine) -> None:
    inputs = tiny_inputs(1)
    reference = run_reference(tiny_graph(), inputs)
    replayed = Compiler(tiny_graph(), ARCH).compile(reference.decisions_of(0), inputs[0])
    with Driver(machine, load_program(export_program(replayed, tmp_path))) as driver:
        with pytest.raises(wrong.WrongProgramError, match="compile it with --live"):
            driver.run(inputs)
        (own,) = driver.run_own().images
        np.testing.assert_array_equal(own.logits, list(reference.outputs_of(0).values())[-1])


def test_a_program_of_several_images_at_a_time(tmp_path: Path) -> None:
    """Seven images, three in a run: the last run lacks two."""
    case, arch = captured("dual", 16), PRESETS["4x4"]
    program = group(case, arch, 3, live=True)
    with Driver(SimulatedMachine(arch), load_program(export_program(program, tmp_path)), slots=2) as driver:
        result = driver.run(case.inputs)
    assert [one.images for one in result.starts] == [2, 1] and len(result.images) == len(case.inputs) == 7
    for number, one in enumerate(result.images):
        for name, values in case.reference.outputs_of(number).items():
            np.testing.assert_array_equal(one.outputs[name], values)


@pytest.mark.parametrize("seed", range(20))
def test_illegal_instructions_have_the_code_that_the_machine_gives(seed: int, tmp_path: Path) -> None:
    """Of random programs, one instruction spoilt; the cases say which code the RTL must stop with."""
    rng = np.random.default_rng(seed)
    _, program = random_network(seed, ARCH)
    machine = SimulatedMachine(ARCH)
    ways = tuple(way for way in SPOILERS if way is not inside_row)
    spoilt = spoil(rng, program, simulate(program).trace.records["instruction"], ways)
    loaded = replace(load_program(export_program(program, tmp_path)), image=spoilt.program.image)
    with Driver(machine, loaded) as driver, pytest.raises(wrong.StoppedError) as found:
        driver.run_own()
    assert found.value.code == spoilt.code, f"seed {seed}: {spoilt.what}: {machine.note}"
    assert found.value.instruction == spoilt.at, f"seed {seed}: {spoilt.what}"
