"""A short run of the random campaign: ``python -m tests.cosim.random_lockstep`` is the long one."""

from __future__ import annotations

import pytest

from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.verify import design, lockstep
from gatewright.verify.kit.cases import case
from gatewright.verify.kit.check import CAPACITY, Agreement, check_illegal, check_programs, machine_bench, small
from gatewright.verify.kit.generate.illegal import inside_row
from gatewright.verify.kit.generate.random_machines import random_machine
from tests.cosim.random_lockstep import run
from tests.sim.no_columns import program_of_no_columns

ARCH: ArchConfig = small(PRESETS["4x4"])

ODD_SEED = 354
ODD = random_machine(ODD_SEED, rtl=True)
"""A machine that nobody would build: two tables, small memories, an odd number of parameters."""


KINDS = ("layers", "corners")


def assert_agree(agreement: Agreement) -> None:
    assert agreement.difference is None, f"seed {agreement.number}: {agreement.difference}"
    assert agreement.agreed == agreement.count > 0


def test_random_programs_run_in_the_simulators_cycles() -> None:
    seeds = range(1_000_000, 1_000_040)
    print(f"python -m tests.cosim.random_lockstep --first {seeds.start} --programs {len(seeds)}")
    assert_agree(run(ARCH, "layers", seeds))


def test_an_odd_machine_runs_in_the_simulators_cycles() -> None:
    assert ODD.tables == 2 and ODD.parameter_entries % 2 and ODD.accumulator_depth == 16 and ODD.patch_kib == 1
    seeds = range(1_000_000, 1_000_030)
    for corners in (False, True):
        options = f"--machines 1 --seed {ODD_SEED} --first {seeds.start} --programs {len(seeds)}"
        print(f"python -m tests.cosim.random_lockstep {options}{' --corners' if corners else ''}")
        assert_agree(run(ODD, KINDS[corners], seeds))


def test_reads_and_writes_on_one_channel_run_in_the_simulators_cycles() -> None:
    seeds = range(30)
    print(f"python -m tests.cosim.random_lockstep --traffic --first {seeds.start} --programs {len(seeds)}")
    assert_agree(run(ARCH, "traffic", seeds))


def test_several_images_in_one_start_run_in_the_simulators_cycles() -> None:
    seeds = range(20)
    print(f"python -m tests.cosim.random_lockstep --images --first {seeds.start} --programs {len(seeds)}")
    assert_agree(run(ARCH, "images", seeds))


@pytest.mark.parametrize(("option", "count"), [("", 30), ("--corners ", 15)])
def test_random_programs_keep_bytes_and_axi_rules_when_the_memory_stalls(option: str, count: int) -> None:
    seeds = range(1_000_100, 1_000_100 + count)
    print(f"python -m tests.cosim.random_lockstep {option}--first {seeds.start} --programs {count} --stall 5")
    assert_agree(run(ARCH, KINDS[bool(option)], seeds, stall=5))


def test_any_opcode_waits_for_any_unit_in_the_simulators_cycles() -> None:
    seeds = range(30, 54)
    print(f"python -m tests.cosim.random_lockstep --waits --first {seeds.start} --programs {len(seeds)}")
    assert_agree(run(ARCH, "waits", seeds))


def test_maps_of_no_columns_run_in_the_simulators_cycles() -> None:
    """Each alone: what is no longer written is read, and is what the program before left."""
    bench = machine_bench(ARCH)
    for seed in range(25, 37):
        print(f"program_of_no_columns({seed}, ARCH)")
        assert_agree(check_programs(bench, [program_of_no_columns(seed, ARCH)]))


def test_programs_of_the_corners_run_in_the_simulators_cycles() -> None:
    seeds = range(1_000_000, 1_000_030)
    print(f"python -m tests.cosim.random_lockstep --corners --first {seeds.start} --programs {len(seeds)}")
    assert_agree(run(ARCH, "corners", seeds))


@pytest.mark.parametrize(("option", "count"), [("", 40), ("--corners ", 20)])
def test_illegal_programs_stop_the_machine_and_the_simulator(option: str, count: int) -> None:
    seeds = range(1_000_200, 1_000_200 + count)
    print(f"python -m tests.cosim.random_lockstep {option}--first {seeds.start} --programs {count} --illegal")
    assert_agree(run(ARCH, "illegal corners" if option else "illegal", seeds))


def test_gathers_that_begin_inside_a_kernel_row_stop_the_machine_and_the_simulator() -> None:
    seeds = range(1_000_400, 1_000_412)
    print(f"check_illegal(machine_bench(ARCH), {seeds}, ways=(inside_row,))")
    assert_agree(check_illegal(machine_bench(ARCH), seeds, ways=(inside_row,)))


def test_a_foreign_axi_memory_with_random_pauses_sees_the_same_bytes() -> None:
    """cocotbext-axi's memory in place of ours."""
    seed = 11
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, CAPACITY, stall=seed, bench="protocol_bench")
    results = lockstep.verify(bench, [case("layers", 1_000_300 + number, ARCH) for number in range(3)])
    assert [result.difference for result in results] == [None] * 3, f"pauses of seed {seed}"
