"""Images back to back on the RTL, whose memories lose all that an image has left in them before the next one begins."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from gatewright.agreement import check_outputs
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.contract.images import lay_out, values_of
from gatewright.sim.fast.machine import simulate
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import Expectation, expect_images
from gatewright.verify.kit.check import CAPACITY, machine_bench, small
from gatewright.verify.kit.generate.random_images import random_images
from tests.support.exits import exits_case, pictures
from tests.support.leaks import LEAKS, leaking
from tests.support.poisoned_rtl import poisoned

ARCH = small(PRESETS["4x4"])
SIZE, IMAGES = 8, 64


@cache
def bench() -> lockstep.Bench:
    return lockstep.Bench(poisoned(design.machine_verilog(ARCH), ARCH), ARCH, CAPACITY)


def differences(expectations: list[Expectation], poison: bool = True) -> list[str | None]:
    made = bench() if poison else machine_bench(ARCH)
    return [result.difference for result in lockstep.verify(made, expectations)]


def test_64_images_that_leave_at_different_exits_see_nothing_of_each_other() -> None:
    """The mean cycles are the sum over exits of share times cycles: every image takes as long as alone."""
    graph = exits_case(size=SIZE).graph
    live = Compiler(graph, ARCH).compile_live()
    inputs = quantise_input(pictures(IMAGES, SIZE).numpy(), graph)
    reference = run_reference(graph, inputs)
    dram, images = lay_out(live, list(inputs))
    expectation = expect_images(live, dram, images, writes=False)
    alone = np.array([simulate(live, sample).cycles for sample in inputs])
    for number in range(IMAGES):
        check_outputs(
            f"image {number}", values_of(live, expectation.dram, images, number), reference.outputs_of(number)
        )
    at_exits = [alone[reference.taken == number] for number in range(3)]
    assert min(len(cycles) for cycles in at_exits) > IMAGES // 8, "few images for one of the exits"
    assert sum(len(cycles) / IMAGES * cycles.mean() for cycles in at_exits) == pytest.approx(
        expectation.cycles / IMAGES
    )
    (result,) = lockstep.verify(bench(), [expectation])
    assert result.difference is None and result.cycles == alone.sum()


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
