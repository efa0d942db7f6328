"""Poison behind the last reader of every location: the same bytes, unless an image reads what another one has left."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import values_of
from gatewright.sim.fast.machine import simulate_images
from gatewright.verify.kit.generate.random_images import random_images
from tests.support.leaks import LEAKS, SAMPLES, leaking
from tests.support.poison import simulate_poisoned

ARCH = PRESETS["4x4"]


@pytest.mark.parametrize("seed", range(8))
def test_no_image_of_a_random_program_sees_what_another_has_left(seed: int) -> None:
    case = random_images(seed)
    plain = simulate_images(case.program, case.dram, case.images)
    found = simulate_poisoned(case.program, case.dram, case.images, seed)
    assert found.locations > 100
    case.assert_as_alone(plain)
    found.assert_same(plain.dram, plain.cycles)


def test_a_program_that_writes_all_it_reads_gives_the_same_bytes() -> None:
    program, dram, images = leaking(ARCH)
    plain, found = simulate_images(program, dram, images), simulate_poisoned(program, dram, images, 1)
    found.assert_same(plain.dram, plain.cycles)
    assert len(plain.tables[1]), "the last image's gate is closed"


@pytest.mark.parametrize(("memory", "late"), LEAKS.items())
def test_an_instruction_behind_its_reader_is_found(memory: str, late: str) -> None:
    """The first image finds zeros, the others what the one before has left: without poison that is a result."""
    program, dram, images = leaking(ARCH, late)
    plain = simulate_images(program, dram, images)
    values = [values_of(program, plain.dram, images, number)["output"] for number in range(SAMPLES)]
    assert len({value.tobytes() for value in values[1:]}) > 1, "all images give the same"
    try:
        found = simulate_poisoned(program, dram, images, 1)
    except GatewrightError:
        return  # noise that is no table, or no parameter
    others = [values_of(program, found.dram, images, number)["output"] for number in range(SAMPLES)]
    assert any(not np.array_equal(a, b) for a, b in zip(values[1:], others[1:], strict=True)), f"{memory}: not seen"
