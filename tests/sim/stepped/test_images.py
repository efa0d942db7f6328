"""Several images in one start: each as if it were alone, in both simulators, whatever the image before has left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import DRAM_ADDRESSES, Images, Ring, lay_out, values_of
from gatewright.contract.isa import Opcode, Space, Unit
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.sim.result import MachineResult
from gatewright.sim.stepped import SteppedMachine, step_simulate_images
from gatewright.sim.stepped.state import Shared
from gatewright.verify.kit.generate.random_images import random_images
from gatewright.verify.kit.programs import Image, make_program, row

BEATS = 24
"""Of an image: more than its 4 KiB page has left."""


def poison(shared: Shared, rng: np.random.Generator) -> None:
    """Anything in all that an image may not hand on to the next one."""
    memories = (
        shared.scratchpad.bytes,
        shared.patch._lanes,
        shared.weights._lanes,
        shared.accumulators._entries,
        shared.parameters._raw,
        shared.instructions._raw,
        shared.tables._entries,
    )
    for memory in memories:
        memory.view(np.uint8)[:] = rng.integers(0, 256, memory.view(np.uint8).shape, dtype=np.uint8)
    shared.tables._counts[:] = rng.integers(0, shared.arch.table_entries, shared.arch.tables).tolist()
    shared.masks._bits[:] = rng.integers(0, 2, shared.masks._bits.shape)


@pytest.mark.parametrize("seed", range(8))
def test_images_in_one_start_are_as_each_alone(seed: int) -> None:
    """Both simulators have the same cycles, and the images those that they have alone; nothing else is handed on."""
    print(f"seed {seed}: python -m tests.sim.random_stepped --images --first {seed} --programs 1")
    case = random_images(seed)
    fast = simulate_images(case.program, case.dram, case.images)
    case.assert_as_alone(fast)
    stepped = step_simulate_images(case.program, case.dram, case.images)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.dram, stepped.dram)
    machine, rng = SteppedMachine(case.program, case.dram, seed, case.images), np.random.default_rng(seed)
    while not machine.sequencer.stopped:
        machine.step()
        if machine.sequencer.boots:
            poison(machine.shared, rng)
    poisoned = machine.result(case.program)
    assert first_difference(fast.trace, poisoned.trace) is None
    np.testing.assert_array_equal(fast.dram, poisoned.dram)


def copying() -> Program:
    """A program whose output is its input; the data come in from where an image's pages do not end."""
    image = Image()
    image.reserve(4096 - 64)
    source, target = image.reserve(16 * BEATS), image.reserve(16 * BEATS)
    load = row(Opcode.LOAD, space=Space.SCRATCHPAD, dram_address=source, rows=1, row_beats=BEATS, ring=1)
    store = row(Opcode.STORE, [(Unit.LOAD, 1)], dram_address=target, beats=BEATS, ring=1)
    size = 16 * BEATS
    return make_program(PRESETS["4x4"], [load, store], image, input_region=(source, size), output_region=(target, size))


def both(program: Program, dram: np.ndarray, images: Images) -> MachineResult:
    fast, stepped = simulate_images(program, dram, images), step_simulate_images(program, dram, images)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.dram, stepped.dram)
    return fast


@pytest.mark.parametrize(("slots", "kept"), [(0, 5), (2, 2)])
def test_samples_come_from_one_ring_and_values_go_to_another(slots: int, kept: int) -> None:
    """As many places for outputs as asked for: the last images' values are there, the others are overwritten."""
    program, rng = copying(), np.random.default_rng(5)
    samples = [rng.integers(-128, 128, 16 * BEATS, dtype=np.int8) for _ in range(5)]
    dram, images = lay_out(program, samples, slots)
    result = both(program, dram, images)
    assert result.cycles == sum(simulate(program, sample).cycles for sample in samples)
    for number in range(5 - kept, 5):
        values = values_of(program, result.dram, images, number)["output"]
        np.testing.assert_array_equal(values, samples[number].view("<i4"))
    np.testing.assert_array_equal(result.dram[: len(program.image)], program.image)


def test_a_ring_may_lie_in_front_of_the_programs_own_place() -> None:
    """Addresses are sums modulo 2**32."""
    program = copying()
    dram = program.image.copy()
    dram[:512] = np.arange(512) % 251
    at = program.input_region.address
    images = Images(2, Ring(DRAM_ADDRESSES - at, 64), Ring(DRAM_ADDRESSES - at + 512, 512))
    result = both(program, dram, images)
    np.testing.assert_array_equal(result.dram[512 + 16 * BEATS : 1024 + 16 * BEATS][:384], dram[:384])


def test_a_program_of_one_place_is_not_laid_out_for_several() -> None:
    program = copying()
    fixed = [row(Opcode.LOAD, space=Space.SCRATCHPAD, rows=1, row_beats=BEATS)]
    with pytest.raises(GatewrightError, match="the program reads its input at one place"):
        lay_out(replace(program, code=make_program(program.arch, fixed).code), [])
