"""The self-test: what it gives follows from the data by hand, and every word of every memory shows in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from gatewright.bringup import memory_steps, unit_steps
from gatewright.bringup.memory_steps import fillings, odd
from gatewright.bringup.script import Script
from gatewright.bringup.self_test import SEED, STEPS, SelfTest, self_test
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.program import Program
from gatewright.contract.program_check import check_program
from gatewright.sim.fast.faults import Stopped
from gatewright.sim.fast.run import Run

ARCH = replace(PRESETS["4x4"], scratchpad_kib=8, weight_kib=16, patch_kib=8)  # as other tests have it


@pytest.fixture(scope="module")
def whole() -> SelfTest:
    return self_test(ARCH)


def test_it_is_a_program_like_any_other(whole: SelfTest) -> None:
    check_program(whole.program)
    assert {name.split(".")[0] for name in whole.expected} == set(STEPS)
    assert set(whole.program.layers) == {"start", *STEPS} - {"start"}
    assert len(whole.program.page_starts) > 2, "pages follow one another"


def test_the_scratchpad_gives_back_what_it_was_given(whole: SelfTest) -> None:
    rng = np.random.default_rng([SEED, 0])
    for word, values in fillings(rng, ARCH.scratchpad_bytes):
        found = np.concatenate([whole.expected[f"scratchpad.{half}{word}"] for half in (0, 1)])
        assert np.array_equal(found, values)


def test_the_weights_step_gives_the_product(whole: SelfTest) -> None:
    """By numpy, from the step's own random numbers."""
    rng = np.random.default_rng([SEED, 2])
    slices = ARCH.weight_words // 16
    channels = slices * ARCH.rows
    pixel = odd(rng, (channels,)).astype(np.int64)
    count = 16
    for part in range(ARCH.weight_words // (count * slices)):
        for word, values in fillings(rng, count * channels):
            found = whole.expected[f"weight_buffer.{part}{word}"].tobytes()
            assert np.array_equal(np.frombuffer(found, "<i4"), values.reshape(count, channels).astype(np.int64) @ pixel)


def test_every_parameter_is_given_back(whole: SelfTest) -> None:
    names = sorted(
        (name for name in whole.expected if name.startswith("parameters.bias.") and "complement" not in name),
        key=lambda name: int(name.split(".")[-1]),
    )
    biases = np.concatenate([np.frombuffer(whole.expected[name].tobytes(), "<i4") for name in names])
    assert len(biases) == ARCH.parameter_entries and len(np.unique(biases)) > 0.99 * len(biases)
    other = np.concatenate(
        [np.frombuffer(whole.expected[name.replace("bias.", "bias.complement.", 1)].tobytes(), "<i4") for name in names]
    )
    assert np.array_equal(other, ~biases)


MEMORIES = {
    "patch": memory_steps.patch_buffer,
    "weight": memory_steps.weight_buffer,
    "accumulators": memory_steps.accumulators,
    "bias": memory_steps.parameters,
    "multiplier": memory_steps.parameters,
    "shift": memory_steps.parameters,
    "tables": memory_steps.tables,
    "scratchpad": memory_steps.scratchpad,
    "masks": unit_steps.masks,
}

STUCK = 6
"""Words of each memory that are stuck, one after the other."""


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_bit_that_is_stuck_shows(memory: str) -> None:
    """In the simulator's memory a random bit is held at 0 or 1 from the begin on: some output is another."""
    script = Script(ARCH)
    MEMORIES[memory](script, np.random.default_rng([SEED, list(STEPS).index("tables")]))
    program, _ = script.program()
    right = outputs(program, None)
    rng = np.random.default_rng(5)
    shown = 0
    for attempt in range(4 * STUCK):
        words = getattr(Run(program, program.image).state, memory)
        place = tuple(int(rng.integers(size)) for size in words.shape)
        stuck = (memory, place, int(rng.integers(SEEN_BITS.get(memory, 8))), attempt % 2)
        try:
            found = outputs(program, stuck)
        except Stopped:  # a shift that the simulator refuses, where the machine would go on
            assert memory == "shift"
            continue
        assert any(not np.array_equal(right[name], other) for name, other in found.items()), stuck
        shown += 1
        if shown == STUCK:
            return
    raise AssertionError(f"only {shown} of the stuck bits make a program that runs")


SEEN_BITS = {"bias": 32, "multiplier": 16, "shift": 3, "accumulators": 32, "tables": 9, "masks": 1}
"""Bits of a word, where it has not 8. More of a shift make one that the simulator refuses; a table has 512 entries."""

Stuck = tuple[str, tuple[int, ...], int, int]
"""A memory, a place in it, the number of a bit, and what that is held at."""


def outputs(program: Program, stuck: Stuck | None) -> dict[str, npt.NDArray[np.generic]]:
    """What a program gives, on a machine with a stuck bit or without."""
    run = Run(program, program.image)
    done, step = False, 1
    while not done:
        step += 1
        done = run.advance(step)
        if stuck is not None:
            name, place, bit, level = stuck
            words = getattr(run.state, name)
            words = words.view(f"u{words.dtype.itemsize}")
            value = int(words[place])
            words[place] = value | 1 << bit if level else value & ~(1 << bit)
    return {name: values for name, values in program.values(run.state.dram).items()}


@pytest.mark.parametrize("arch", [PRESETS["12x20"], replace(ARCH, depthwise=False, instruction_entries=64, tables=2)])
def test_other_machines_have_one_too(arch: object) -> None:
    assert isinstance(arch, type(ARCH))
    script = Script(arch)
    for number, step in enumerate(STEPS.values()):
        step(script, np.random.default_rng([SEED, number]))
    program, _ = script.program()
    check_program(program)


@pytest.mark.parametrize("arch", [ARCH, PRESETS["ultra96"], PRESETS["4x4"], PRESETS["12x20"]])
@pytest.mark.parametrize("memory", ["patch", "weight"])
def test_no_word_is_left_out(memory: str, arch: ArchConfig) -> None:
    """Of memories that start as zeros no word of random bytes is one."""
    script = Script(arch)
    MEMORIES[memory](script, np.random.default_rng(1))
    program, _ = script.program()
    run = Run(program, program.image)
    run.advance()
    assert getattr(run.state, memory).any(axis=1).all()
