"""The area model: what is counted is what synthesis finds, and what is fitted is near it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewright.contract.arch import PRESETS
from gatewright.explore.area import accuracy, estimate
from gatewright.explore.area.figures import Synthesis, read_figures
from gatewright.explore.area.memories import FIXED, block_memories
from gatewright.explore.area.parts import MODULES, multipliers
from tests.hw.synth import area_figures

GOLDEN = json.loads((Path(__file__).parents[1] / "hw" / "synth" / "golden_area.json").read_text())

LUT_WORST, LUT_MEAN, FF_WORST = 0.06, 0.02, 0.025
"""Bounds of the model's error at machines that were left out of its fit; docs/explore.md has the figures."""


@pytest.mark.parametrize("preset", ["4x4", "ultra96"])
def test_multipliers_and_block_memories_are_those_of_the_golden_synthesis(preset: str) -> None:
    area, golden = estimate(PRESETS[preset]), GOLDEN[preset]["total"]
    assert (area.dsp, area.bram36) == (golden["dsp"], golden["bram36"])


@pytest.mark.parametrize("machine", read_figures().machines, ids=lambda machine: machine.arch.name)
def test_every_module_has_the_multipliers_and_block_memories_that_are_counted(machine: Synthesis) -> None:
    blocks = {name: memory.blocks for name, memory in block_memories(machine.arch).items()}
    assert machine.modules.keys() == MODULES.keys()
    for name, found in machine.modules.items():
        assert found.dsp == multipliers(machine.arch).get(name, 0), name
        assert found.bram36 == blocks.get(name, 0) + FIXED.get(name, 0), name


def test_memories_that_were_synthesised_alone_have_the_blocks_that_are_counted() -> None:
    parts = read_figures().parts
    assert parts
    for part in parts:
        ((name, found),) = part.modules.items()
        memory = block_memories(part.arch).get(name)
        assert found.bram36 == (0 if memory is None else memory.blocks) + FIXED.get(name, 0), (name, part.arch)


def test_the_fit_is_near_machines_that_were_left_out_of_it() -> None:
    found = accuracy()
    assert found.machines == len(read_figures().machines) > 5
    assert found.lut_mean <= LUT_MEAN and found.lut_worst <= LUT_WORST and found.ff_worst <= FF_WORST
    assert found.counted_worst == 0


def test_the_file_has_what_its_command_makes() -> None:
    figures = read_figures()
    made = [area_figures.machine(changes) for changes in area_figures.MACHINES]
    goldens = [PRESETS[name] for name in area_figures.GOLDEN]
    assert {machine.arch for machine in figures.machines} == {*made, *goldens}
    parts = {
        (kind, area_figures.machine(changes)) for kind, (_, every) in area_figures.PARTS.items() for changes in every
    }
    assert {(name, part.arch) for part in figures.parts for name in part.modules} == parts


def test_the_goldens_of_the_fit_are_those_of_the_tests_of_synthesis() -> None:
    for machine in read_figures().machines:
        if machine.arch.name in GOLDEN:
            golden = GOLDEN[machine.arch.name]["total"]
            measured = machine.total.lut, machine.total.ff
            assert measured == (golden["lut"], golden["ff"]), "run python -m tests.hw.synth.area_figures golden"
