"""One program for every image: what it computes, and which gates decide how, is the reference's; RTL runs it too."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gatewright import flow
from gatewright.agreement import check_run
from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.contract.arch import BEAT_BYTES, PRESETS
from gatewright.contract.isa import Opcode, Space, column
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.models.gates.kinds import Gating
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.end_to_end.networks import Case, captured, forced
from tests.support.chain import compare_image

ZOO = "dgnet-resnet20-0.5"
GATED: tuple[Gating, ...] = ("dual", "spatial", "channel")


@cache
def case(gating: Gating) -> Case:
    return captured(gating, 16)


@pytest.mark.parametrize("preset", ["4x4", "12x20", "ultra96"])
@pytest.mark.parametrize("gating", GATED)
def test_every_image_runs_with_one_program(gating: Gating, preset: str) -> None:
    network, compiler = case(gating), Compiler(case(gating).graph, PRESETS[preset])
    live, bits = compiler.compile_live(), set()
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        bits.add(tuple(np.concatenate([compared.result.gates[gate.name] for gate in live.gates])))
    assert live.live and len(bits) > 1, "every image has the same gates; nothing was decided"


@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("kind", ["spatial", "channel"])
def test_gates_that_are_open_or_closed_all_over(kind: str, on: bool) -> None:
    graph = forced(case("dual").graph, kind, on)
    inputs = case("dual").inputs[:2]
    reference, compiler = run_reference(graph, inputs, keep=True), Compiler(graph, PRESETS["ultra96"])
    live = compiler.compile_live()
    for position, sample in enumerate(inputs):
        assert compare_image(compiler, sample, reference, position, audit=True, live=live).different == ()


def test_the_stepped_model_has_the_same_cycles() -> None:
    network = case("dual")
    live = Compiler(network.graph, PRESETS["8x8"]).compile_live()
    for sample in network.inputs[1:3]:
        fast, stepped = simulate(live, sample), step_simulate(live, sample, fill_seed=1)
        assert first_difference(fast.trace, stepped.trace) is None
        np.testing.assert_array_equal(fast.logits, stepped.logits)


def test_a_trained_network_takes_little_more_than_programs_for_single_images(tmp_path: Path) -> None:
    network = flow.load_network(ZOO)
    evaluation = flow.evaluate(network, network.spec.family.data.sample().head(4))
    compiler = Compiler(network.graph, PRESETS["ultra96"])
    live = compiler.compile_live()
    live.save(tmp_path / "live.safetensors")
    live = Program.load(tmp_path / "live.safetensors")
    cycles, replayed = 0, 0
    for position, sample in enumerate(evaluation.inputs):
        result = simulate(live, sample, observe=True)
        check_run("live", result, evaluation.reference.outputs_of(position), evaluation.decisions(position))
        cycles += result.cycles
        replayed += simulate(compiler.compile(evaluation.decisions(position), sample)).cycles
    assert replayed < cycles < 1.05 * replayed


def test_a_network_without_gates_has_its_one_program() -> None:
    network = flow.load_network("resnet20")
    live = Compiler(network.graph, PRESETS["ultra96"]).compile_live()
    assert not live.live
    assert np.array_equal(live.code, Compiler(network.graph, PRESETS["ultra96"]).compile({}).code)


@cache
def large(gating: Gating) -> Case:
    return captured(gating, 32)


SMALL = {"scratchpad_kib": 24, "weight_kib": 16}
"""Filters of the last blocks are streamed, and those of the first block go over maps in DRAM, row by row."""


SMALLER = {"scratchpad_kib": 24, "weight_kib": 16}
"""Of a machine of four columns: filters come in up to eight groups."""


@pytest.mark.parametrize(
    ("gating", "preset", "sizes"),
    [
        ("dual", "ultra96", SMALL),
        ("dual", "8x8", SMALL),
        ("spatial", "8x8", SMALL),
        ("channel", "8x8", SMALL),
        ("dual", "4x4", SMALLER),
    ],
)
def test_filters_are_streamed_and_maps_lie_in_dram(gating: Gating, preset: str, sizes: dict[str, int]) -> None:
    network, arch = large(gating), replace(PRESETS[preset], **sizes)
    compiler = Compiler(network.graph, arch)
    live, image = compiler.compile_live(), NetworkImage(network.graph, arch, live=True)
    assert image.spilled and any(bank.streamed for bank in image.banks.values())
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        assert compared.different == (), f"image {position}: {compared.different} differ"


def test_maps_in_dram_come_before_the_gates_and_go_behind_them() -> None:
    """The first rows of a pass come while the pass before ends, whose last rows wait until gates have had port B."""
    live = Compiler(large("dual").graph, replace(PRESETS["ultra96"], **SMALL)).compile_live()
    (region,) = (region for region in live.regions if region.kind == "map")

    opcodes, address = live.code[:, 0], column(Opcode.LOAD, "dram_address")
    on_chip = live.code[:, column(Opcode.LOAD, "space")] == Space.SCRATCHPAD
    first = np.flatnonzero((opcodes == Opcode.LOAD) & on_chip & (live.code[:, address] == region.address))[-1]
    beats = live.code[:, column(Opcode.STORE, "beats")]
    ends = live.code[:, column(Opcode.STORE, "dram_address")] + beats * BEAT_BYTES
    last = np.flatnonzero((opcodes == Opcode.STORE) & (ends == region.address + region.size))[-1]
    written = np.flatnonzero([name == "layer1.0.conv2" for name in live.layers] & (opcodes == Opcode.EPILOGUE))[-1]
    (decided,) = (gate.index_instruction for gate in live.gates if gate.name == "layer2.0.mask_s")
    assert first < written < decided < last


def test_the_array_takes_groups_of_filters_as_they_are_loaded() -> None:
    network, arch = large("dual"), replace(PRESETS["4x4"], **SMALLER)
    live, image = Compiler(network.graph, arch).compile_live(), NetworkImage(network.graph, arch, live=True)
    banks = [bank for bank in image.banks.values() if bank.both_ends and bank.groups(bank.filters) > 3]
    assert banks
    for bank in banks:
        rows = live.code[[name == bank.name for name in live.layers]]
        used = rows[rows[:, 0] == Opcode.MATMUL, column(Opcode.MATMUL, "first_filter")] // bank.group
        assert [group for group, _ in groupby(used.tolist())] == bank.in_order(bank.filters)


@pytest.mark.parametrize("on", [False, True])
def test_streamed_filters_of_gates_that_are_open_or_closed_all_over(on: bool) -> None:
    graph = forced(forced(large("dual").graph, "spatial", on), "channel", not on)
    inputs = large("dual").inputs[:1]
    reference, compiler = run_reference(graph, inputs, keep=True), Compiler(graph, replace(PRESETS["8x8"], **SMALL))
    live = compiler.compile_live()
    assert compare_image(compiler, inputs[0], reference, 0, audit=True, live=live).different == ()


def test_the_stepped_model_streams_in_the_same_cycles() -> None:
    network = large("dual")
    live = Compiler(network.graph, replace(PRESETS["ultra96"], **SMALL)).compile_live()
    fast, stepped = simulate(live, network.inputs[1]), step_simulate(live, network.inputs[1], fill_seed=1)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.logits, stepped.logits)


def test_commands(tmp_path: Path) -> None:
    runner, program = CliRunner(), str(tmp_path / "live.safetensors")
    made = runner.invoke(main, ["compile", ZOO, "--live", "-o", program])
    assert made.exit_code == 0 and "at most" in made.output, made.output
    for image in "3", "5":
        run = runner.invoke(main, ["simulate", program, "--network", ZOO, "--image", image])
        assert run.exit_code == 0 and "same results, same decisions" in run.output, run.output
    alone = runner.invoke(main, ["simulate", program])
    assert alone.exit_code and "a live program needs an image: give --network NAME" in alone.output
    both = runner.invoke(main, ["compile", ZOO, "--live", "--dense", "-o", program])
    assert both.exit_code and "exclude each other" in both.output


def test_the_report_has_both_programs_cycles(tmp_path: Path) -> None:
    arguments = ["report", ZOO, "--live", "--images", "2", "--workers", "1", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0 and "one program for all images; compiled for each" in result.output, result.output
    assert "the first 2 images back to back" in result.output
    page, contents = (tmp_path / "report.html").read_text(), json.loads((tmp_path / "report.json").read_text())
    assert "one live program for all images" in page and all(f'id="{name}"' in page for name in ("blocks", "classes"))
    assert [row["label"] for row in contents["by_class"]["classes"]] == [3, 8] and contents["class_names"][3] == "cat"
    assert [row["macs_dense"] for row in contents["blocks"]] == [4_718_592] * 3 + [3_670_016, 4_718_592, 4_718_592] * 2
