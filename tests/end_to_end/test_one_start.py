"""Several images in one start of the machine: each as alone, and checked against the reference."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gatewright import flow, one_start
from gatewright.agreement import check_gates
from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import lay_out
from gatewright.one_start import run_in_one_start, run_in_starts
from gatewright.sim.fast.machine import simulate, simulate_images

ZOO, IMAGES = "dgnet-resnet20-0.5", 3


@cache
def evaluated() -> tuple[flow.Network, flow.Evaluation]:
    network = flow.load_network(ZOO)
    return network, flow.evaluate(network, network.spec.family.data.sample().head(IMAGES))


def test_each_image_takes_its_own_cycles_and_gives_its_own_logits() -> None:
    network, evaluation = evaluated()
    live = flow.compile_live(network, PRESETS["ultra96"])
    run = run_in_one_start("live", live, evaluation)
    assert run.cycles == tuple(simulate(live, sample).cycles for sample in evaluation.inputs)
    assert len(set(run.cycles)) == IMAGES, "the images have the same gates; nothing was decided"
    logits = [next(iter(outputs.values())) for outputs in run.outputs]
    assert not np.array_equal(logits[0], logits[1])
    assert run_in_one_start("live", live, evaluation, 2).cycles == run.cycles[:2]


def test_many_images_in_several_starts_are_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network, evaluation = evaluated()
    live = flow.compile_live(network, PRESETS["ultra96"])
    one = run_in_one_start("live", live, evaluation)
    monkeypatch.setattr(one_start, "MOST", 2)
    images = network.spec.data.sample().head(IMAGES)
    starts = list(run_in_starts("live", live, network, images, workers=2))
    assert [len(start.cycles) for start in starts] == [2, 1]
    assert tuple(cycles for start in starts for cycles in start.cycles) == one.cycles
    assert [p for start in starts for p in start.predictions] == evaluation.predicted_int8.tolist()


def test_every_gate_of_every_image_is_seen_and_checked() -> None:
    network, evaluation = evaluated()
    live = flow.compile_live(network, PRESETS["ultra96"])
    result = simulate_images(live, *lay_out(live, list(evaluation.inputs)), observe=True)
    for number, gates in enumerate(result.gates_of_images):
        check_gates("live", gates, evaluation.decisions(number))
    assert len(result.gates_of_images) == IMAGES
    name = next(gate.name for gate in live.gates if gate.kind == "channel")
    different = result.gates_of_images[0] | {name: ~result.gates_of_images[0][name]}
    with pytest.raises(AssertionError, match=f"decisions of gate {name} differ"):
        check_gates("live", different, evaluation.decisions(0))
    with pytest.raises(AssertionError, match=f"gates {name} were not evaluated"):
        check_gates("live", {n: g for n, g in different.items() if n != name}, evaluation.decisions(0))


def test_results_that_are_not_the_references_are_an_error() -> None:
    network, evaluation = evaluated()
    dense = flow.compile_dense(network, PRESETS["ultra96"])
    with pytest.raises(AssertionError, match="image 0 of the start: logits .* differ from the reference's"):
        run_in_one_start("dense", dense, evaluation)


def test_a_program_for_one_image_is_refused() -> None:
    network, evaluation = evaluated()
    program = Compiler(network.graph, PRESETS["ultra96"]).compile(evaluation.decisions(0), evaluation.inputs[0])
    with pytest.raises(GatewrightError, match="compiled for the gates of one image; compile it with --live"):
        run_in_one_start("image0", program, evaluation)


def test_commands(tmp_path: Path) -> None:
    runner, program = CliRunner(), str(tmp_path / "live.safetensors")
    flow.compile_live(evaluated()[0], PRESETS["ultra96"]).save(program)
    run = runner.invoke(main, ["simulate", program, "--network", ZOO, "--images", "1:2"])
    assert (
        run.exit_code == 0
        and "in one start" in run.output
        and "same results and decisions for every image" in run.output
    )
    assert [line.split()[1] for line in run.output.splitlines() if line.startswith("image")] == ["1", "2"]
    both = runner.invoke(main, ["simulate", program, "--network", ZOO, "--images", "1:2", "--image", "1"])
    assert both.exit_code and "excludes --image" in both.output
    beyond = runner.invoke(main, ["simulate", program, "--network", ZOO, "--images", "255:2"])
    assert beyond.exit_code and "cannot take 257 images" in beyond.output
    wrong = runner.invoke(main, ["simulate", program, "--network", ZOO, "--images", "2"])
    assert wrong.exit_code == 2 and "is not FIRST:COUNT" in wrong.output


def test_a_network_that_the_program_is_not_of_is_asked_about(tmp_path: Path) -> None:
    network, _ = evaluated()
    flow.compile_dense(network, PRESETS["ultra96"]).save(path := tmp_path / "dense.safetensors")
    run = CliRunner().invoke(main, ["simulate", str(path), "--network", ZOO, "--image", "0"])
    assert run.exit_code == 2 and "gatewright: error: " in run.output, run.output
    assert run.output.endswith(f"; is {ZOO} the network that the program was compiled from?\n")
