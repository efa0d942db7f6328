"""Cycles of SKIP, of what it leaves out and of images back to back, worked out by hand from section 4."""

from __future__ import annotations

from gatewright.contract.images import Images
from gatewright.contract.isa import Opcode, Unit
from gatewright.sim.stepped import step_simulate_images
from gatewright.verify.kit.programs import Image, make_program, row
from tests.sim.stepped.cycles import arch_of, boot_cycles, scratch_load, times

INDEX = row(Opcode.INDEX, bits=16)
"""One empty word: 7 from dispatch to start, then 1 + 12."""

EMPTY_STORE = row(Opcode.STORE)
"""7, then 18 with a latency of 10."""


def test_a_skip_that_is_taken_costs_a_turn_for_each_instruction_left_out() -> None:
    skip = row(Opcode.SKIP, [(Unit.INDEX, 1)], count_table=0, instructions=4)
    nested = row(Opcode.SKIP, [(Unit.STORE, 1)], instructions=2)
    behind = row(Opcode.INDEX, [(Unit.INDEX, 2), (Unit.STORE, 1)], bits=16)
    rows = [INDEX, skip, INDEX, EMPTY_STORE, nested, row(Opcode.EXIT), behind]
    # INDEX: e = 20. SKIP decides then, x = 21. Turns at 22 ... 25; INDEX: d = 26, s = 33, e = 46, where END runs.
    expected = [(0, 7, 7, 20), (21, 21, 21, 22), (26, 33, 33, 46), (46, 46, 46, 47)]
    assert times(arch_of(4, 4), rows) == expected


def test_a_skip_that_is_not_taken_costs_a_turn() -> None:
    ones = row(Opcode.INDEX, bits=16, complement=1)
    skip = row(Opcode.SKIP, [(Unit.INDEX, 1)], count_table=0, most=15, instructions=1)
    # e = 7 + 4 + 12; SKIP runs there, and the next is dispatched in 24.
    assert times(arch_of(4, 4), [ones, skip, INDEX])[:3] == [(0, 7, 7, 23), (23, 23, 23, 24), (24, 31, 31, 44)]


def test_a_skip_that_is_taken_waits_for_every_unit_but_load() -> None:
    image = Image()
    image.reserve(64)
    jump = row(Opcode.SKIP, instructions=1)
    # Without a table the SKIP decides 3 cycles into its turn at 1. STORE: e = 25. LOAD: e = 34, which nobody awaits.
    assert times(arch_of(4, 4), [EMPTY_STORE, jump, INDEX, INDEX])[1:3] == [(25, 25, 25, 26), (27, 34, 34, 47)]
    found = times(arch_of(4, 4), [scratch_load(4), jump, INDEX, INDEX], image)
    assert found[:3] == [(0, 7, 7, 34), (5, 5, 5, 6), (7, 14, 14, 27)]


def test_what_is_left_out_comes_behind_the_loads_that_it_names_and_a_load_behind_all() -> None:
    image = Image()
    image.reserve(64)
    waiting, jump = row(Opcode.INDEX, [(Unit.LOAD, 1)], bits=16), row(Opcode.SKIP, instructions=4)
    rows = [scratch_load(4), jump, INDEX, waiting, scratch_load(4), scratch_load(4), INDEX]
    # LOAD: e = 34. SKIP: x = 5. Turns at 6 and 7, where it waits until 34. A LOAD's waits are compared for 3 cycles:
    # turns at 35 and 39, left out at 38 and 42.
    assert times(arch_of(4, 4), rows, image)[1:3] == [(5, 5, 5, 6), (43, 50, 50, 63)]
    # A LOAD without waits comes behind the one under way: left out at 34.
    rows = [scratch_load(4), row(Opcode.SKIP, instructions=1), scratch_load(4), INDEX]
    assert times(arch_of(4, 4), rows, image)[2] == (35, 42, 42, 55)


def test_pages_come_in_a_range_that_is_left_out() -> None:
    rows = [row(Opcode.SKIP, instructions=6), *[INDEX] * 6, EMPTY_STORE]
    program = make_program(arch_of(4, 4), rows, page_size=5)
    result = step_simulate_images(program, program.image, Images())
    code = program.code[result.trace.records["instruction"], 0].tolist()
    # Pages of LOAD, three instructions and NEXT; in the first one SKIP and two of the six.
    assert code == [Opcode.LOAD, Opcode.SKIP, Opcode.NEXT, Opcode.LOAD, Opcode.NEXT, Opcode.STORE, Opcode.END]
    load, skip, turn = (result.trace.records[i] for i in range(3))
    assert skip["run"] == load["dispatch"] + 5 and turn["run"] == load["done"]
    assert result.trace.records["dispatch"][3] == turn["run"] + 12


def test_the_next_image_boots_in_the_cycle_behind_the_last() -> None:
    program = make_program(arch_of(4, 4), [INDEX])
    result = step_simulate_images(program, program.image, Images(3))
    records = result.trace.records
    assert records["instruction"].tolist() == [0, 1] * 3
    # From one first dispatch to the next: INDEX's e, END's 1, the boot.
    one = 20 + 1 + boot_cycles(2)
    assert records["dispatch"][::2].tolist() == [boot_cycles(2) + n * one for n in range(3)]
    assert result.cycles == 3 * one
