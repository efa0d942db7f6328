"""Random legal programs: the stepped simulator's values against a numpy oracle, its cycles against the fast simulator.

A program is a random chain of layers: cuts into chunks, splits of pixels, filters and slices, both stationary
operands, tables of tiles and filters (loaded, or made by gates that run on the machine), compact maps,
masked sources, residuals, pooling, and logits that STORE writes to DRAM. Those of the corners have early exits, empty
reductions, lists of input channels, source masks, row tables and STOREs across 4 KiB. Each seed has a machine of its
own; ``python -m tests.sim.random_stepped`` is the long run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.fast.machine import simulate
from gatewright.sim.result import MachineResult
from gatewright.sim.stepped import step_simulate
from gatewright.sim.stepped.memories.memories import Accumulators, Scratchpad
from gatewright.verify.kit.check import small
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_crossings import random_crossings
from gatewright.verify.kit.generate.random_programs import Network, random_network
from gatewright.verify.kit.generate.random_traffic import random_traffic
from tests.measure.test_attribution_random import random_program
from tests.sim.no_columns import program_of_no_columns, program_of_no_taps

Generate = Callable[[int], tuple[Network, Program]]


def assert_same(program: Program, stepped: MachineResult) -> None:
    """The fast simulator ran the same program in the same cycles to the same memories."""
    fast = simulate(program, audit=True)
    difference = first_difference(stepped.trace, fast.trace)
    assert difference is None, f"{difference}: {program.opcode_name(min(difference.position, len(program.code) - 1))}"
    assert stepped.cycles == fast.cycles
    np.testing.assert_array_equal(stepped.dram, fast.dram)
    np.testing.assert_array_equal(stepped.scratchpad, fast.scratchpad)
    np.testing.assert_array_equal(stepped.masks, fast.masks)
    np.testing.assert_array_equal(stepped.logits, fast.logits)
    for number, (left, right) in enumerate(zip(stepped.tables, fast.tables, strict=True)):
        np.testing.assert_array_equal(left, right, err_msg=f"table {number}")


def assert_expected(network: Network, result: MachineResult) -> None:
    """The bytes that the oracle expects are there."""
    for memory, checks in ((result.scratchpad, network.checks), (result.dram, network.dram_checks)):
        for address, values in checks:
            left = memory.view(np.int8)[address : address + values.size]
            np.testing.assert_array_equal(left.reshape(values.shape), values)
    np.testing.assert_array_equal(result.logits, network.logits)


def assert_agreement(network: Network, program: Program, seed: int) -> None:
    print(f"seed {seed}: {network.arch}")
    stepped = step_simulate(program)
    assert_expected(network, stepped)
    assert_same(program, stepped)


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_agree_with_the_oracle_and_with_the_fast_simulator(seed: int) -> None:
    assert_agreement(*random_network(seed), seed)


@pytest.mark.parametrize("seed", range(16))
def test_programs_of_the_corners_agree_with_the_oracle_and_with_the_fast_simulator(seed: int) -> None:
    assert_agreement(*random_corners(seed), seed)


@pytest.mark.parametrize("seed", range(16))
def test_any_mix_of_instructions_takes_the_same_cycles(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions without work among others, waits at random: only cycles are compared, so ports may collide."""
    print(f"seed {seed}")
    monkeypatch.setattr(Scratchpad, "_take_port_b", lambda *_: None)
    monkeypatch.setattr(Accumulators, "_take", lambda *_: None)
    program = random_program(seed)
    difference = first_difference(step_simulate(program).trace, simulate(program).trace)
    assert difference is None, f"{difference}"


@pytest.mark.parametrize("seed", range(16))
def test_loads_and_stores_on_one_channel_take_the_same_cycles(seed: int) -> None:
    """Reads and writes that take turns: the bytes are in DRAM, and both simulators agree when."""
    print(f"seed {seed}: python -m tests.sim.random_stepped --traffic --first {seed} --programs 1")
    program, expected = random_traffic(seed)
    stepped = step_simulate(program)
    np.testing.assert_array_equal(stepped.dram[: len(expected)], expected)
    assert_same(program, stepped)


@pytest.mark.parametrize("seed", range(8))
def test_units_that_waits_alone_order_take_the_same_cycles(seed: int) -> None:
    """Any opcode behind any unit."""
    print(f"seed {seed}")
    program, checks = random_crossings(seed)
    stepped = step_simulate(program)
    for address, values in checks:
        np.testing.assert_array_equal(stepped.dram.view(np.int8)[address : address + len(values)], values)
    assert_same(program, stepped)


@pytest.mark.parametrize("generate", [random_network, random_corners])
@pytest.mark.parametrize("seed", [100, 101, 102])
def test_nothing_depends_on_memory_that_was_never_written(seed: int, generate: Generate) -> None:
    """Random contents at power-on change no cycle and no result."""
    print(f"seed {seed}")
    network, program = generate(seed)
    zeros, noise = step_simulate(program), step_simulate(program, fill_seed=seed)
    assert first_difference(zeros.trace, noise.trace) is None
    assert_expected(network, noise)


def test_a_map_of_no_columns_is_walked_as_one_of_one_column_and_not_written() -> None:
    for seed in range(20, 40):
        print(f"program_of_no_columns({seed}, small(PRESETS['4x4']))")
        program = program_of_no_columns(seed, small(PRESETS["4x4"]))
        assert_same(program, step_simulate(program))


def test_taps_of_a_map_of_no_columns_write_no_bits() -> None:
    """Seed 45's gate would let tiles through."""
    print("program_of_no_taps(45, small(PRESETS['4x4']))")
    program = program_of_no_taps(45, small(PRESETS["4x4"]))
    assert_same(program, step_simulate(program))
