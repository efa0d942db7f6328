"""Several images in one program, two of them on the machine at a time: every byte and decision is the reference's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from gatewright import flow
from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit.lower import gates_everywhere
from gatewright.compiler.interleave.group import Measure, Request
from gatewright.compiler.interleave.order import Cost
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import lay_out, values_of
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.in_flight import InFlight, compile_group, run_groups
from gatewright.measure.costs import instruction_costs
from gatewright.measure.latency import latencies
from gatewright.models.gates.kinds import Gating
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.sim.stepped import step_simulate
from tests.end_to_end.networks import Case, captured
from tests.support.exits import exits_case
from tests.support.segmentation import pspnet_case

TINY = replace(PRESETS["4x4"], name="tiny", scratchpad_kib=48, patch_kib=8, weight_kib=20)
"""Images of a dual live program hold each other up in its buffers: each has a part of them. The others share them."""

ZOO, ZOO_TOGETHER, ZOO_CYCLES = "dgnet-resnet20-0.5", 4, {True: 402_658, False: 403_314}
"""Golden: the first four packaged images in one program, live and compiled for their gates."""


def group(
    case: Case,
    arch: ArchConfig,
    count: int,
    live: bool,
    in_flight: int = 2,
    measure: Measure = instruction_costs,
) -> Program:
    everywhere = gates_everywhere(case.graph)
    decisions = [everywhere if live else case.reference.decisions_of(number) for number in range(count)]
    request = Request(decisions, case.inputs[:count], in_flight, live)
    return Compiler(case.graph, arch).compile_group(request, measure)


def check(case: Case, program: Program, numbers: list[int], audit: bool = False) -> None:
    """Run the program on some inputs; outputs, gates and tensors are those of each image."""
    samples = case.inputs[numbers]
    result = simulate(program, samples, observe=True, audit=audit)
    for number, position in enumerate(numbers):
        for name, expected in case.reference.outputs_of(position).items():
            np.testing.assert_array_equal(result.outputs[f"{name}@{number}"], expected)
        for name, decision in case.reference.decisions_of(position).items():
            np.testing.assert_array_equal(result.gates[f"{name}@{number}"], decision.reshape(-1), name)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("gating", ["dual", "spatial", "channel", "none"])
def test_every_image_is_as_the_reference_has_it(gating: Gating, live: bool) -> None:
    case = captured(gating, 16)
    if gating == "none" and live:
        return  # without gates every program serves every image
    program = group(case, TINY, 7, live)
    check(case, program, list(range(7)), audit=True)
    if live:
        check(case, program, [6, 5, 4, 3, 2, 1, 0])


def test_three_in_flight_too() -> None:
    case = captured("dual", 16)
    check(
        case,
        group(case, replace(TINY, scratchpad_kib=72, patch_kib=16, weight_kib=32), 6, live=True, in_flight=3),
        list(range(6)),
        audit=True,
    )


@pytest.mark.parametrize("seed", range(6))
def test_costs_decide_about_the_order_alone(seed: int) -> None:
    """With drawn costs instructions come in orders that nobody would choose; what they compute stays.

    Again: pytest tests/end_to_end/test_in_flight.py -k "order_alone[SEED]".
    """
    rng = np.random.default_rng(seed)
    case, arch = captured("dual", 16), replace(TINY, patch_kib=16, weight_kib=32)

    def drawn(program: Program) -> list[Cost]:
        return [Cost(int(2 ** rng.uniform(0, 11)), int(2 ** rng.uniform(0, 11))) for _ in program.code]

    program = group(case, arch, 4, live=seed % 2 == 0, measure=drawn)
    check(case, program, list(range(4)), audit=True)


def test_the_stepped_simulator_takes_the_same_cycles() -> None:
    case = captured("dual", 16)
    program = group(case, TINY, 3, live=True)
    fast, stepped = simulate(program), step_simulate(program)
    assert first_difference(fast.trace, stepped.trace) is None
    np.testing.assert_array_equal(fast.dram, stepped.dram)


def test_runs_follow_one_another_and_the_last_may_have_fewer_images() -> None:
    case = captured("dual", 16)
    program = group(case, TINY, 3, live=True)
    samples = [case.inputs[number] for number in range(7)]
    dram, images = lay_out(program, samples)
    assert images.count == 3
    result = simulate_images(program, dram, images)
    for number in range(7):
        for name, expected in case.reference.outputs_of(number).items():
            np.testing.assert_array_equal(values_of(program, result.dram, images, number)[name], expected)


def test_a_file_keeps_it(tmp_path: Path) -> None:
    case = captured("dual", 16)
    program = group(case, TINY, 2, live=True)
    program.save(tmp_path / "two.safetensors")
    loaded = Program.load(tmp_path / "two.safetensors")
    assert (loaded.images, loaded.input_stride) == (2, program.input_stride)
    check(case, loaded, [3, 1])


@cache
def zoo() -> tuple[flow.Network, flow.Evaluation]:
    network = flow.load_network(ZOO)
    return network, flow.evaluate(network, network.spec.family.data.sample().head(ZOO_TOGETHER))


@pytest.mark.parametrize("live", [True, False])
def test_cycles_of_a_network_of_the_zoo(live: bool) -> None:
    """Fewer than one by one, and each image is under way for longer."""
    network, evaluation = zoo()
    arch = PRESETS["ultra96"]
    (run,) = run_groups(network, arch, evaluation, InFlight(ZOO_TOGETHER, live=live))
    compiler = Compiler(network.graph, arch)
    alone = [
        simulate(compiler.compile_live() if live else compiler.compile(evaluation.decisions(n)), sample).cycles
        for n, sample in enumerate(evaluation.inputs)
    ]
    assert run.cycles == ZOO_CYCLES[live]
    assert run.cycles < sum(alone)
    assert len(run.latencies) == ZOO_TOGETHER and all(
        under_way > one for under_way, one in zip(run.latencies, alone, strict=True)
    )


def test_the_latency_of_an_image_that_is_alone_is_about_its_cycles() -> None:
    network, evaluation = zoo()
    program = Compiler(network.graph, PRESETS["ultra96"]).compile(evaluation.decisions(0), evaluation.inputs[0])
    result = simulate(program)
    (latency,) = latencies(program, result.trace)
    assert 0 < result.cycles - latency < 300


def test_another_number_of_samples_is_refused() -> None:
    case = captured("dual", 16)
    program = group(case, TINY, 2, live=True)
    with pytest.raises(GatewrightError, match="3 samples for a program that runs 2 at a time"):
        simulate(program, case.inputs[:3])


def test_exits_are_refused() -> None:
    case = exits_case(size=8)
    with pytest.raises(GatewrightError, match="early exits end alone; compile it for one image at a time"):
        group(case, PRESETS["4x4"], 2, live=True)  # type: ignore[arg-type]


def test_filters_that_are_a_map_are_refused() -> None:
    case = pspnet_case("basic", "none", 16)
    request = Request([{}, {}], case.inputs[:2], 2, live=False)
    with pytest.raises(GatewrightError, match="at one place for all images"):
        Compiler(case.graph, PRESETS["ultra96"]).compile_group(request, instruction_costs)


def test_maps_that_do_not_fit_beside_one_another_are_refused() -> None:
    case = captured("dual", 32)
    with pytest.raises(GatewrightError, match="2 images in flight"):
        group(case, replace(TINY, scratchpad_kib=16), 2, live=False)


def test_command(tmp_path: Path) -> None:
    out = tmp_path / "pairs.safetensors"
    arguments = ["throughput", ZOO, "--images", "5", "--together", "2", "--live", "-o", str(out)]
    run = CliRunner().invoke(main, arguments)
    assert run.exit_code == 0, run.output
    assert "4 images, 2 in a program" in run.output and "2 in flight" in run.output
    again = CliRunner().invoke(main, ["simulate", str(out), "--network", ZOO, "--images", "1:3"])
    assert again.exit_code == 0, again.output
    lines = [line.split(maxsplit=2)[1:] for line in again.output.splitlines() if line.startswith("image ")]
    assert [number for number, _ in lines] == ["1", "2", "3"]
    assert lines[1][1].startswith("beside the one before")
    assert "same results and decisions for every image" in again.output


def test_group_of_an_evaluation_has_its_samples() -> None:
    network, evaluation = zoo()
    program = compile_group(network, PRESETS["ultra96"], evaluation, 1, InFlight(2))
    result = simulate(program)
    expected: npt.NDArray[np.int32] = next(iter(evaluation.reference.outputs_of(2).values())).astype(np.int32)
    np.testing.assert_array_equal(result.outputs["fc@1"], expected)
