"""Networks with early exits, end to end: where an image leaves, with which logits, and what that takes, is exact."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from gatewright.agreement import check_run
from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.kinds.exit import QuantisedExit
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.ranges import save_ranges
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.exits import MOST_LOGIT, integer_limits, with_thresholds
from gatewright.contract.images import lay_out, values_of
from gatewright.contract.isa import Opcode
from gatewright.contract.program import Program
from gatewright.contract.program_check import check_program
from gatewright.contract.trace import first_difference
from gatewright.flow import ranges_path
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from gatewright.models.synthetic.exits import synthesise_exits
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.sim.stepped import step_simulate
from tests.end_to_end.networks import case_of
from tests.support.chain import compare_image
from tests.support.exits import SIZE, GatedWithExit, exits_case, network_with_exits, one_for_each


@pytest.mark.parametrize("preset", ["12x20", "ultra96"])
def test_a_program_for_an_image_ends_behind_its_exit(preset: str) -> None:
    case = exits_case()
    graph, compiler = case.graph, Compiler(case.graph, PRESETS[preset])
    exits = [layer for layer in graph.layers if isinstance(layer, QuantisedExit)]
    names, cycles = ["exits.0.fc", "exits.1.fc", "network.fc"], []
    for number, position in enumerate(one_for_each(case.reference.taken)):
        compared = compare_image(compiler, case.inputs[position], case.reference, position, audit=True)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        program, result = compared.program, compared.result
        assert list(result.outputs) == [output.name for output in program.outputs] == names[: number + 1]
        np.testing.assert_array_equal(result.logits, case.reference.logits[position])
        assert program.left_at(result.dram) == number
        behind = graph.layers[graph.layers.index(exits[number]) + 1 :] if number < len(exits) else []
        assert not {layer.name for layer in behind} & set(program.layers), "layers behind the exit are there"
        cycles.append(result.cycles)
    assert cycles == sorted(cycles) and cycles[0] < cycles[2] / 2


@pytest.mark.parametrize("preset", ["12x20", "ultra96"])
def test_every_image_runs_with_one_program_that_ends_where_it_leaves(preset: str) -> None:
    case = exits_case()
    compiler = Compiler(case.graph, PRESETS[preset])
    live = compiler.compile_live()
    for position, sample in enumerate(case.inputs):
        compared = compare_image(compiler, sample, case.reference, position, audit=True, live=live)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        taken, records = int(case.reference.taken[position]), compared.result.trace.records
        last = int(records["instruction"][-1])
        rows = [one.instruction for one in live.exits]
        assert last == (rows[taken] if taken < len(rows) else len(live.code) - 1)
        np.testing.assert_array_equal(compared.result.logits, case.reference.logits[position])


@pytest.mark.parametrize("gating", ["dual", "spatial", "aig"])
def test_gates_and_exits_in_one_network(gating: Gating) -> None:
    case = case_of(GatedWithExit(gating).eval(), SIZE)
    assert set(case.reference.taken.tolist()) == {0, 1}
    compiler = Compiler(case.graph, PRESETS["ultra96"])
    live = compiler.compile_live()
    for position in one_for_each(case.reference.taken):
        for program in None, live:
            compared = compare_image(
                compiler, case.inputs[position], case.reference, position, audit=True, live=program
            )
            assert compared.different == (), f"image {position}: {compared.different} differ"


def test_images_back_to_back_leave_where_each_would_alone() -> None:
    case = exits_case()
    live = Compiler(case.graph, PRESETS["ultra96"]).compile_live()
    order = one_for_each(case.reference.taken) * 2
    image, images = lay_out(live, [case.inputs[position] for position in order])
    result = simulate_images(live, image, images)
    for number, position in enumerate(order):
        values = values_of(live, result.dram, images, number)
        expected = case.reference.outputs_of(position)
        assert values.keys() == expected.keys()
        assert all(np.array_equal(values[name], expected[name]) for name in expected)


def test_a_live_program_takes_little_more_than_programs_for_single_images() -> None:
    case = exits_case()
    compiler = Compiler(case.graph, PRESETS["ultra96"])
    live = compiler.compile_live()
    for position in one_for_each(case.reference.taken):
        sample = case.inputs[position]
        replayed = simulate(compiler.compile(case.reference.decisions_of(position), sample)).cycles
        assert replayed < simulate(live, sample).cycles < 1.1 * replayed


def test_thresholds_change_in_the_image_alone(tmp_path: Path) -> None:
    """Of a program that is saved and loaded: what they then decide is what a network with them decides."""
    case = exits_case()
    live = Compiler(case.graph, PRESETS["ultra96"]).compile_live()
    live.save(tmp_path / "live.safetensors")
    live = Program.load(tmp_path / "live.safetensors")
    (first, second), seen = live.exits, set[int]()
    logits = case.reference.outputs[first.output] * _unit(live, first.output)
    middle = np.median(logits, 0).astype(float).tolist()
    for thresholds in (middle, float("inf"), float("-inf"), 0.05):
        changed = with_thresholds(live, first.name, thresholds)
        assert np.array_equal(changed.code, live.code)
        limits = np.array(integer_limits(np.broadcast_to(thresholds, 10).tolist(), _unit(live, first.output), False))
        graph = _with_limits(case.graph, first.name, limits)
        reference = run_reference(graph, case.inputs)
        for position in range(0, len(case.inputs), 3):
            result = simulate(changed, case.inputs[position], observe=True)
            check_run("live", result, reference.outputs_of(position), reference.decisions_of(position))
            seen.add(int(reference.taken[position]))
    assert seen == {0, 1, 2}
    with pytest.raises(GatewrightError, match="3 thresholds for 10 classes"):
        with_thresholds(live, second.name, [1.0, 2.0, 3.0])


def _unit(program: Program, output: str) -> float:
    return next(one.scale for one in program.outputs if one.name == output)


def _with_limits(graph: QuantisedGraph, name: str, limits: npt.NDArray[np.int64]) -> QuantisedGraph:
    layers = [
        replace(layer, limits=limits) if isinstance(layer, QuantisedExit) and layer.name == name else layer
        for layer in graph.layers
    ]
    return replace(graph, layers=layers)


def test_many_classes_take_several_groups_of_filters_and_masks() -> None:
    """530 classes are more than a mask has bits and a table entries, and than the array has columns."""
    case = exits_case(530)
    compiler = Compiler(case.graph, PRESETS["ultra96"])
    live = compiler.compile_live()
    assert int((live.code[:, 0] == Opcode.EXIT).sum()) == 4
    for position in one_for_each(case.reference.taken):
        for program in None, live:
            compared = compare_image(
                compiler, case.inputs[position], case.reference, position, audit=True, live=program
            )
            assert compared.different == (), f"image {position}: {compared.different} differ"


@pytest.mark.parametrize("which", [slice(0, 512), slice(512, 530)])
def test_all_classes_of_one_part_may_answer(which: slice) -> None:
    """More classes than a table holds, of which all of one part reach their thresholds, and none of the other."""
    case, bits = exits_case(530), np.zeros(530, np.bool_)
    bits[which] = True
    graph = _with_limits(case.graph, "exits.0.fc", np.where(bits, -MOST_LOGIT, MOST_LOGIT))
    reference, compiler = run_reference(graph, case.inputs[:1], keep=True), Compiler(graph, PRESETS["ultra96"])
    for program in None, compiler.compile_live():
        compared = compare_image(compiler, case.inputs[0], reference, 0, audit=True, live=program)
        assert compared.different == () and np.array_equal(compared.result.gates["exits.0.fc"], bits)
        assert list(compared.result.outputs) == ["exits.0.fc"]
    small = replace(PRESETS["ultra96"], table_entries=16)
    with pytest.raises(GatewrightError, match="its 530 classes take 34 tables, of which arch ultra96 has 16"):
        Compiler(graph, small).compile_live()


def test_the_stepped_model_has_the_same_cycles() -> None:
    case = exits_case()
    compiler = Compiler(case.graph, PRESETS["8x8"])
    position = one_for_each(case.reference.taken)[1]
    program = compiler.compile(case.reference.decisions_of(position), case.inputs[position])
    for each in (
        program,
        replace(compiler.compile_live(), image=compiler.compile_live().with_sample(case.inputs[position])),
    ):
        fast, stepped = simulate(each), step_simulate(each, fill_seed=1)
        assert first_difference(fast.trace, stepped.trace) is None
        np.testing.assert_array_equal(fast.logits, stepped.logits)


def test_macs_are_those_until_the_exit() -> None:
    case, network = exits_case(), network_with_exits()
    until = [counted_macs(case.graph, case.reference.decisions_of(i)) for i in one_for_each(case.reference.taken)]
    undecided = [BlockMasks(None, None)] * len(network.blocks())
    assert until == network.macs_of_exits(undecided).flatten().tolist()
    assert counted_macs(case.graph, None) == network.dense_macs()


@pytest.mark.parametrize("strict", [False, True])
def test_limits_are_where_integer_logits_reach_a_threshold(strict: bool) -> None:
    unit = 0.25
    for threshold, limit in ((1.0, 4 + strict), (1.1, 5), (-1.1, -4), (1e30, MOST_LOGIT), (float("-inf"), -MOST_LOGIT)):
        (found,) = integer_limits([threshold], unit, strict)
        assert abs(found - limit) <= (strict and abs(limit) == MOST_LOGIT)
    with pytest.raises(GatewrightError, match="not a number"):
        integer_limits([float("nan")], unit, strict)


DAMAGED: dict[str, tuple[Callable[[Program], Program], str]] = {
    "no such output": (lambda p: _with_record(p, output="fc"), "exit 'exits.0.fc': 'fc' is no output of logits"),
    "no gate": (lambda p: replace(p, gates=p.gates[1:]), "the program has no gate of kind exit with that name"),
    "beside its parameters": (lambda p: _with_record(p, parameters=0), "bytes 0 to 160 are no parameters"),
    "crooked": (lambda p: _with_record(p, parameters=p.exits[0].parameters + 4), "are no parameters"),
    "another instruction": (lambda p: _with_record(p, instruction=0), "instruction 0 is no EXIT"),
    "beyond the end": (lambda p: _with_record(p, instruction=1 << 20), "instruction 1048576 is no EXIT"),
    "no instruction": (lambda p: _with_record(p, instruction=None), "a live program has an EXIT for it"),
    "twice": (lambda p: replace(p, exits=p.exits[:1] * 2), "exit 'exits.0.fc' is there twice"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGED.values(), ids=list(DAMAGED))
def test_exits_that_do_not_fit_their_program_are_refused(damage: Callable[[Program], Program], reason: str) -> None:
    live = Compiler(exits_case().graph, PRESETS["ultra96"]).compile_live()
    check_program(live)
    with pytest.raises(GatewrightError, match=reason):
        check_program(damage(live))


def _with_record(program: Program, **changes: object) -> Program:
    first, *others = program.exits
    return replace(program, exits=[replace(first, **changes), *others])  # type: ignore[arg-type]


def test_logits_that_leave_no_room_for_thresholds_are_refused() -> None:
    graph = exits_case().graph
    layers = [
        replace(layer, bias=layer.bias + MOST_LOGIT) if isinstance(layer, QuantisedExit) else layer
        for layer in graph.layers
    ]
    with pytest.raises(GatewrightError, match="those of an early exit must stay below"):
        Compiler(replace(graph, layers=layers), PRESETS["ultra96"])


def test_a_threshold_of_a_program_for_an_image_cannot_be_changed() -> None:
    case = exits_case()
    program = Compiler(case.graph, PRESETS["ultra96"]).compile(case.reference.decisions_of(0), case.inputs[0])
    with pytest.raises(GatewrightError, match="the program was compiled for one image"):
        with_thresholds(program, "exits.0.fc", 1.0)
    with pytest.raises(GatewrightError, match="no exit 'fc'; it has exits.0.fc"):
        with_thresholds(program, "fc", 1.0)


def test_commands_from_a_checkpoint_to_a_report(tmp_path: Path) -> None:
    """A network of the family: its mean cycles are the sum over exits of share times cycles, in one program for all."""
    images = CIFAR10.sample().head(6)
    network, spec = synthesise_exits(NetworkSpec(8, family_name="resnet-cifar-exits"), images, [0.4, 0.3], seed=1)
    assert spec.name == "synthetic-exits-resnet8"
    path, program, out = tmp_path / "exits.safetensors", tmp_path / "live.safetensors", tmp_path / "report"
    save_checkpoint(path, network, spec)
    save_ranges(ranges_path(path), calibrate(capture(network), images.normalised()))
    reported = _call("report", path, "--live", "--images", 6, "--workers", 1, "--out", out)
    contents = json.loads((out / "report.json").read_text())
    rows, summary = contents["exits"], contents["summary"]
    assert sum(row["images"] for row in rows) == 6 and [row["name"] for row in rows] == [
        "exits.0.fc",
        "exits.1.fc",
        "end",
    ]
    mean = sum(row["share"] * row["cycles_mean"] for row in rows)
    assert mean == pytest.approx(summary["cycles_gated_mean"], rel=1e-12) and mean < summary["cycles_dense"]
    assert all(row["cycles_least"] <= row["cycles_mean"] <= row["cycles_most"] for row in rows)
    behind = {row["name"]: row["executed_mean"] for row in contents["blocks"]}
    assert behind == {
        "behind exits.0.fc": pytest.approx(1 - rows[0]["share"]),
        "behind exits.1.fc": pytest.approx(rows[2]["share"]),
    }
    assert contents["by_class"] is None and len(contents["maps"]) == 6, "its weights were drawn: images have no label"
    assert "exit       exits.0.fc: " in reported and "Where images leave" in (out / "report.html").read_text()
    _call("compile", path, "--live", "-o", program)
    texts = [_call("simulate", program, "--network", path, "--image", image) for image in range(6)]
    for text, row in zip(texts, contents["images"], strict=True):
        assert "same results, same decisions" in text and f"cycles       {row['cycles_gated']:,} " in text
        assert "exit         exits.0.fc" in text or "exit         exits.1.fc" in text or "exit         the end" in text
        assert text.count("class        ") == 1, "an image has one answer"
    assert _call("plan", path).startswith("synthetic-exits-resnet8 on ultra96, every gate on")


def _call(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output
