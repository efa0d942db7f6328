"""What is explained is what runs: held gates, gates that are left out, other machines, and the sentences about them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from gatewright import flow
from gatewright.agreement import check_outputs
from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gate, without_gates
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.explain import explain as explaining
from gatewright.explain.answers import answers
from gatewright.explain.gates import gate_groups
from gatewright.explain.machines import Change, changes
from gatewright.measure.bounds import Holder
from gatewright.measure.summary import build_report
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.datasets.cifar10 import load_sample
from gatewright.models.families.spec import NetworkSpec
from gatewright.report.html import render_html
from gatewright.sim.counts.ports import ACCESSES
from gatewright.sim.fast.machine import simulate
from gatewright.sim.held import simulate_held
from tests.compiler.networks import lively_resnet
from tests.measure import synthetic
from tests.report.test_html import _Checker

ARCH = PRESETS["8x8"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gated ResNet-8 with random weights, and its activation ranges."""
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    save_checkpoint(path, lively_resnet("dual", 32), NetworkSpec(8, "dual", 0.5))
    flow.write_ranges(path, load_sample().head(4))
    return path


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> flow.Network:
    return flow.load_network(checkpoint)


@pytest.fixture(scope="module")
def evaluation(network: flow.Network) -> flow.Evaluation:
    return flow.evaluate(network, load_sample().head(2))


def _few(arch: ArchConfig) -> Iterator[Change]:
    """Of all machines one of more, one of less, one that cannot be, and one that the network does not fit."""
    wanted = (
        "columns = 16",
        "dram.latency = 128",
        "rows = 16",
        "parameter_entries = 8192",
        "scratchpad_kib = 320",
        "patch_kib = 32",
    )
    yield from (change for change in changes(arch) if change.line in wanted)
    yield Change(False, "hardly any scratchpad", "scratchpad_kib = 4", ArchConfig(scratchpad_kib=4))


@pytest.fixture(scope="module")
def found(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The command's JSON, on few machines."""
    folder = tmp_path_factory.mktemp("explained")
    (folder / "pj.toml").write_text("[pj]\nscratchpad.read = 2\nmacs = 0.5\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explaining, "changes", _few)
        command = ["explain", str(checkpoint), "--arch", "8x8", "--images", "2", "--workers", "1"]
        files = ["--json", str(folder / "found.json"), "--energy", str(folder / "pj.toml")]
        result = CliRunner().invoke(main, [*command, *files])
    assert result.exit_code == 0, result.output
    loaded: dict[str, Any] = json.loads((folder / "found.json").read_text())
    assert all(one["text"].split()[0] in result.stdout for one in loaded["answers"])
    return loaded


def test_gates_that_are_held_as_they_decide_change_nothing(network: flow.Network, evaluation: flow.Evaluation) -> None:
    decisions, sample = evaluation.decisions(0), evaluation.inputs[0]
    for program in (flow.compile_live(network, ARCH), Compiler(network.graph, ARCH).compile(decisions, sample)):
        free = simulate(program, sample)
        cycles, outputs = simulate_held(program, sample, decisions)
        assert cycles == free.cycles
        check_outputs("held", outputs, free.outputs)


def test_a_live_program_does_what_its_gates_are_told(network: flow.Network, evaluation: flow.Evaluation) -> None:
    """Held decisions give the results of the reference that is held so, and not those of the free gates."""
    program, sample = flow.compile_live(network, ARCH), evaluation.inputs[0]
    told = {name: ~decision for name, decision in evaluation.decisions(0).items()}
    _, outputs = simulate_held(program, sample, told)
    reference = run_reference(network.graph, sample[None], held=told)
    check_outputs("told", outputs, reference.outputs_of(0))
    ((name, logits),) = outputs.items()
    assert not np.array_equal(logits, evaluation.reference.outputs_of(0)[name])
    with pytest.raises(GatewrightError, match="is not among those that are held"):
        simulate_held(program, sample, {})


def test_without_all_gates_nothing_is_left_of_them(network: flow.Network) -> None:
    gates = [gate for group in gate_groups(network.graph) for gate in group.gates]
    one_by_one = network.graph
    for gate in dict.fromkeys(gates):
        one_by_one = without_gate(one_by_one, (gate,))
        assert gate not in {name for layer in one_by_one.layers for name in (layer.name, *layer.gates)}
    dense = without_gates(network.graph)
    assert [layer.name for layer in one_by_one.layers] == [layer.name for layer in dense.layers]


def test_who_has_the_cycles_adds_up(found: dict[str, Any]) -> None:
    for row in found["layers"]:
        assert sum(row["held"].values()) == pytest.approx(row["cycles"])
        assert row["bound"] is None or row["held"][row["bound"]] == max(row["held"].values())
    assert sum(row["cycles"] for row in found["layers"]) == pytest.approx(found["cycles"])
    assert {row["holder"] for row in found["holders"]} == set(Holder)


def test_machines_are_run_or_refused_with_a_reason(
    found: dict[str, Any], network: flow.Network, evaluation: flow.Evaluation
) -> None:
    rows = {row["line"]: row for row in found["machines"]}
    assert (
        "must be an integer from 128 to 4096: a parameter entry's number has 12 bits"
        in rows["parameter_entries = 8192"]["refused"]
    )
    assert rows["scratchpad_kib = 320"]["refused"] is None
    assert "scratchpad of 4 KiB cannot hold tensor" in rows["scratchpad_kib = 4"]["refused"]
    assert all(row["gain"] is None for row in rows.values() if row["refused"])
    wide = Compiler(network.graph, ArchConfig(name="wide", rows=8, columns=16))
    runs = [wide.compile(evaluation.decisions(n), evaluation.inputs[n]) for n in range(2)]
    cycles = np.mean([simulate(program).cycles for program in runs])
    assert rows["columns = 16"]["cycles"] == cycles and rows["columns = 16"]["gain"] == found["cycles"] - cycles > 0
    assert rows["dram.latency = 128"]["gain"] < 0


def test_what_a_gate_saves_is_what_the_network_without_it_takes_more(
    found: dict[str, Any], network: flow.Network, evaluation: flow.Evaluation
) -> None:
    """With its last two gates gone the decisions of the others cannot change: the plain run must say the same."""
    block = [row for row in found["gates"] if row["kind"] == "block"][-1]
    gates = next(group.gates for group in gate_groups(network.graph) if group.name == block["name"])
    graph = without_gate(network.graph, gates)
    compiler, cycles = Compiler(graph, ARCH), []
    for number in range(2):
        sample = evaluation.inputs[number]
        decisions = run_reference(graph, sample[None]).decisions_of(0)
        assert all(np.array_equal(decisions[name], evaluation.decisions(number)[name]) for name in decisions)
        cycles.append(simulate(compiler.compile(decisions, sample)).cycles)
    assert block["cycles_without"] == np.mean(cycles)
    assert block["saved"] == np.mean(cycles) - found["cycles"]


def test_accesses_and_energy_add_up(found: dict[str, Any]) -> None:
    accesses, energy = found["accesses"], found["energy"]
    for name in ACCESSES:
        assert sum(row[name] for row in accesses["layers"]) == pytest.approx(accesses["total"][name])
    expected = 2 * accesses["total"]["scratchpad.read"] + 0.5 * accesses["total"]["macs"]
    assert energy["total"] == pytest.approx(expected) == pytest.approx(sum(row["pj"] for row in energy["layers"]))
    assert "dram.read" in energy["unnamed"] and "macs" not in energy["unnamed"]


def test_the_report_has_it_as_a_section(found: dict[str, Any]) -> None:
    arch, dense = PRESETS["ultra96"], synthetic.dense_run()
    records, flips = synthetic.image_records(2), synthetic.flip_rates()
    for explanation in (found, {**found, "energy": None, "gates": []}):
        page = render_html(build_report(arch, synthetic.NETWORK, dense, records, flips, (), explanation))
        checker = _Checker()
        checker.feed(page)
        checker.close()
        assert checker.open == [] and "answers" in checker.ids
        assert {link[1:] for link in checker.links if link.startswith("#")} <= set(checker.ids)
        for answer in found["answers"]:
            assert escape(answer["text"]).replace("&#x27;", "&#39;") in page
        assert all(row["line"] in page or row["refused"] for row in found["machines"])
        picture = re.findall(r"<svg.*?</svg>", page[page.index('id="answers"') :], re.DOTALL)[0]
        assert ElementTree.fromstring(picture).findtext("title") == "Who has the cycles of each layer"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pj]\nscratchpad.reads = 1", "nothing is called scratchpad.reads"),
        ("[pj]\nmacs = -1", "macs"),
        ("[pj]\nmacs = 'much'", "macs"),
        ("macs = 1", "unknown key macs"),
        ("[pj", "not valid TOML"),
    ],
)
def test_energy_tables_that_are_wrong_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pj.toml"
    path.write_text(text)
    result = CliRunner().invoke(main, ["explain", "resnet20", "--energy", str(path)])
    assert result.exit_code == 2 and message in result.stderr


def test_a_gate_that_costs_more_than_it_saves_is_named(found: dict[str, Any]) -> None:
    """Figures are made up: what is tested is what is said of them."""
    row = {**found["gates"][0], "name": "g", "kind": "channels", "one_less": -3.0, "one_more": 4.0, "free": 0.0}
    saves = {**row, "saved": 900.0, "promised": 1000.0, "macs_saved": 64_000, "deciding": 20.0}
    costs = {**row, "saved": -90.0, "promised": 10.0, "macs_saved": 640, "deciding": 120.0}
    poor = {**row, "saved": 10.0, "promised": 1000.0, "macs_saved": 64_000, "deciding": 120.0}
    free = {**saves, "free": 3.0, "closed": 5.0, "density": 0.5, "one_less": 0.0}

    def said(gate: dict[str, Any]) -> str:
        return "\n".join(one["text"] for one in answers({**found, "gates": [gate]}) if one["topic"] == "gates")

    assert "Worth keeping" in said(saves) and "more than it saves" not in said(saves)
    assert "Gate g costs 90 cycles more than it saves, though 640 MACs are left out." in said(costs)
    assert "The gates of g cost 90 cycles more than they save" in said({**costs, "kind": "block"})
    assert "64,000 MACs are left out, 1,000 cycles of a full array, and 10 of them are saved (1%)" in said(poor)
    assert "of 5.0 channels that are off 3.0 could be on for no cycle more" in said(free)
    assert "one of its channels less saves nothing (+0.0 cycles)" in said({**free, "free": 0.0})
    assert "The network has no gates." in "\n".join(one["text"] for one in answers({**found, "gates": []}))


def test_every_machine_differs_in_one_thing() -> None:
    base = ArchConfig()
    tried = list(changes(base))
    assert len({change.what for change in tried}) == len(tried)
    for change in tried:
        if change.arch is None:
            assert change.refused
            continue
        ours, theirs = base.to_dict(), change.arch.to_dict()
        different = {k for k in ours if k != "dram" and ours[k] != theirs[k]}
        different |= {f"dram.{k}" for k in ours["dram"] if ours["dram"][k] != theirs["dram"][k]}
        assert different == {part.split(" = ")[0] for part in change.line.split(", ")} - (
            {"dram.beats"} if change.arch.dram.beats == base.dram.beats else set()
        ), change
