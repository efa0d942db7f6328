"""Images back to back on the RTL, whose memories lose all that an image has left in them before the next one begins."""

from __future__ import annotations

from functools import cache

import pytest

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.contract.images import lay_out, values_of
from gatewright.sim.fast.machine import simulate
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import Expectation, expect_images
from tests.cosim.random_lockstep import CAPACITY, machine_bench, small
from tests.support.exits import exits_case, one_for_each
from tests.support.leaks import LEAKS, leaking
from tests.support.poisoned_rtl import poisoned
from tests.support.random_images import random_images

ARCH = small(PRESETS["4x4"])


@cache
def bench() -> lockstep.Bench:
    return lockstep.Bench(poisoned(design.machine_verilog(ARCH), ARCH), ARCH, CAPACITY)


def differences(expectations: list[Expectation], poison: bool = True) -> list[str | None]:
    made = bench() if poison else machine_bench(ARCH)
    return [result.difference for result in lockstep.verify(made, expectations)]


def test_images_that_leave_at_different_exits_see_nothing_of_each_other() -> None:
    """The mean cycles are the sum over exits of share times cycles: every image takes as long as alone."""
    case = exits_case(size=8)
    live = Compiler(case.graph, ARCH).compile_live()
    order = [position for position in one_for_each(case.reference.taken) for _ in range(2)]
    order = order[::2] + order[1::2][::-1]  # from each exit to each other one, and from the last to itself
    dram, images = lay_out(live, [case.inputs[position] for position in order])
    expectation = expect_images(live, dram, images, writes=False)
    alone = {position: simulate(live, case.inputs[position]).cycles for position in set(order)}
    assert expectation.cycles == sum(alone[position] for position in order)
    for number, position in enumerate(order):
        values = values_of(live, expectation.dram, images, number)
        assert [v.tolist() for v in values.values()] == [
            v.tolist() for v in case.reference.outputs_of(position).values()
        ]
    assert differences([expectation]) == [None]


def test_random_images_see_nothing_of_each_other() -> None:
    cases = [random_images(seed, ARCH) for seed in range(10)]
    assert sum(case.images.count > 1 for case in cases) > 3
    found = differences([expect_images(case.program, case.dram, case.images, writes=False) for case in cases])
    assert found == [None] * len(cases), f"seed {len(found) - 1}: random_images({len(found) - 1}, ARCH)"


def test_a_program_that_writes_all_it_reads_runs_in_lockstep() -> None:
    assert differences([expect_images(*leaking(ARCH), writes=False)]) == [None]


@pytest.mark.parametrize(("memory", "late"), LEAKS.items())
def test_an_instruction_behind_its_reader_is_found(memory: str, late: str) -> None:
    """Without poison the RTL agrees with the simulator: only what is left tells the fault."""
    expectation = expect_images(*leaking(ARCH, late), writes=False)
    assert differences([expectation], poison=False) == [None]
    assert differences([expectation]) != [None], f"{memory}: not seen"
