"""The search: repeatable, exact, and with an answer for every point."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gatewright import flow
from gatewright.cli.main import main
from gatewright.contract.arch import PRESETS, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.explore.evaluate import Evaluator
from gatewright.explore.machines import Values, arch_toml, machine
from gatewright.explore.outcome import Outcome
from gatewright.explore.space import NetworkUse, Search, Space
from gatewright.explore.study import Study
from gatewright.explore.workload import Workload, load_workload, run
from gatewright.sim.fast.machine import simulate

USE = NetworkUse("dgnet-resnet20-0.4", images=1)

SPACE = Space(
    (USE,),
    {
        "rows": (4, 8, 16),
        "columns": (8, 16),
        "scratchpad_kib": (4, 128),
        "clock_mhz": (150, 300),
        "dram.latency": (30, 64, 200),
        "dram.beats": (3, 9),
    },
    ("latency", "lut"),
    search=Search(batch=5),
)


@pytest.fixture(scope="module")
def work() -> Workload:
    return load_workload(USE)


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """Cycles that the tests of this module have measured: the searches meet the same machines again."""
    return {}


class Interrupted(Exception):
    pass


class Stops(Evaluator):
    """Fails in the middle of the batch that comes after so many points."""

    left = 0

    def evaluate(self, points: Sequence[tuple[int, Values]]) -> list[Outcome]:
        self.left -= len(points)
        if self.left < 0:
            raise Interrupted
        return super().evaluate(points)


def evaluator(work: Workload, known: dict[str, Any], kind: type[Evaluator] = Evaluator) -> Any:
    return kind(SPACE, [work], 1, _known=known)


def whole(tmp_path: Path, work: Workload, known: dict[str, Any], space: Space, points: int) -> list[Outcome]:
    study = Study(space, tmp_path)
    study.search(evaluator(work, known), points)
    return study.outcomes()


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "grid"])
def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(
    sampler: Any, tmp_path: Path, work: Workload, known: dict[str, Any]
) -> None:
    space = replace(SPACE, search=Search(sampler, seed=3, batch=5))
    at_once = whole(tmp_path / "at once", work, known, space, 17)
    assert [outcome.number for outcome in at_once] == list(range(17))
    assert len({tuple(outcome.values.items()) for outcome in at_once}) == 17
    study = Study(space, tmp_path / "parts")
    stops = evaluator(work, known, Stops)
    stops.left = 6
    with pytest.raises(Interrupted):
        study.search(stops, 17)
    assert 0 < len(study.outcomes()) < 7
    del study  # and with it its lock
    for points in (7, 12):  # shorter searches, which end within a batch
        assert whole(tmp_path / "parts", work, known, space, points) == at_once[:points]
    assert whole(tmp_path / "parts", work, known, space, 17) == at_once


def test_a_search_that_dies_while_a_batch_is_told_goes_on_as_well(
    tmp_path: Path, work: Workload, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = whole(tmp_path / "at once", work, known, SPACE, 12)
    tell, told = Study._tell, []

    def dies(self: Study, trial: Any, outcome: Outcome, first: bool) -> None:
        told.append(outcome)
        if len(told) == 8:
            raise Interrupted
        tell(self, trial, outcome, first)

    monkeypatch.setattr(Study, "_tell", dies)
    with pytest.raises(Interrupted):
        whole(tmp_path / "parts", work, known, SPACE, 12)
    monkeypatch.undo()
    assert whole(tmp_path / "parts", work, known, SPACE, 12) == at_once


def test_two_workers_find_what_one_finds(tmp_path: Path, work: Workload) -> None:
    found = []
    for workers in (1, 2):
        study = Study(SPACE, tmp_path / str(workers))
        study.search(Evaluator(SPACE, [work], workers), 6)
        found.append(study.outcomes())
    assert found[0] == found[1]


def test_the_progress_comes_to_the_number_of_points(work: Workload) -> None:
    counted: list[int] = []
    of_dram = [{"rows": 8, "dram.latency": latency, "clock_mhz": mhz} for latency in (30, 64) for mhz in (150, 300)]
    one = Evaluator(SPACE, [work], 1, progress=counted.append)
    one.evaluate(list(enumerate(of_dram[:2])))
    assert sum(counted) == 2
    outcomes = one.evaluate(list(enumerate([*of_dram, {"rows": 8, "dram.beats": 9}])))
    assert sum(counted) == 7
    # The clock changes no cycle, the DRAM does.
    first, second, third, fourth, refused = (tuple(outcome.cycles.values()) for outcome in outcomes)
    assert first == second != third == fourth and refused == ()


def test_a_small_space_is_searched_to_its_end(tmp_path: Path, work: Workload, known: dict[str, Any]) -> None:
    space = replace(SPACE, axes={"rows": (8, 16), "dram.latency": (30, 64)})
    outcomes = whole(tmp_path, work, known, space, 100)
    assert {tuple(outcome.values.values()) for outcome in outcomes} == {(8, 30), (8, 64), (16, 30), (16, 64)}


def test_one_search_at_a_time_in_a_folder(tmp_path: Path) -> None:
    study = Study(SPACE, tmp_path)
    with pytest.raises(GatewrightError, match=f"another search runs in {tmp_path}; wait"):
        Study(SPACE, tmp_path)
    assert study.outcomes() == []
    del study
    Study(SPACE, tmp_path)


def test_another_space_is_refused(tmp_path: Path) -> None:
    Study(SPACE, tmp_path)
    with pytest.raises(GatewrightError, match="holds the search of another space; name another folder"):
        Study(replace(SPACE, objectives=("latency",)), tmp_path)


def test_a_journal_whose_last_line_was_not_finished_goes_on(
    tmp_path: Path, work: Workload, known: dict[str, Any]
) -> None:
    at_once = whole(tmp_path / "at once", work, known, SPACE, 8)
    whole(tmp_path / "parts", work, known, SPACE, 3)
    with (tmp_path / "parts" / "study.journal").open("a") as journal:
        journal.write('{"op_code": 6, "tri')
    assert whole(tmp_path / "parts", work, known, SPACE, 8) == at_once


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_text("hello\n")
    with pytest.raises(GatewrightError, match="study.journal is damaged .*; name another folder, or delete it"):
        Study(SPACE, tmp_path)


def test_points_that_are_none_have_their_reason(work: Workload) -> None:
    boards = replace(SPACE, boards=("ultra96",), axes={"board": ("ultra96",), "columns": (16,)})
    found = Evaluator(boards, [work], 1).evaluate(
        [
            (0, {"board": "ultra96", "columns": 32, "array_multipliers": 512}),
            (1, {"board": "ultra96", "clock_mhz": 250}),
            (2, {"board": "ultra96", "scratchpad_kib": 4}),
        ]
    )
    refused = [outcome.refused for outcome in found]
    assert [one.by if one else None for one in refused] == ["board", "machine", "network"]
    assert refused[0] is not None and "over the goals of ultra96: LUT " in refused[0].reason
    assert "DSP48E2 693 of 306" in refused[0].reason and refused[0].excess > 1
    assert refused[1] is not None and refused[1].reason == "board ultra96: no clock of 250 MHz; there are 150, 200, 300"
    assert refused[2] is not None and refused[2].reason.startswith("dgnet-resnet20-0.4: ")
    assert "scratchpad_kib" in refused[2].reason


def test_a_machine_is_its_arch_file(tmp_path: Path) -> None:
    values: Values = {"rows": 12, "clock_mhz": 150, "dram.latency": 30, "dram.beats": 1, "depthwise": False}
    made = machine(SPACE, values, "p0007")
    path = tmp_path / "p0007.toml"
    path.write_text(arch_toml(made))
    assert load_arch(str(path)) == made
    assert (made.rows, made.clock_mhz, made.dram.latency, made.dram.per_cycles) == (12, 150, 30, 4)


def test_a_board_gives_the_machine_and_its_dram_in_cycles_of_the_clock() -> None:
    space = replace(SPACE, boards=("ultra96", "zcu104"))
    made = machine(space, {"board": "zcu104", "clock_mhz": 150, "rows": 8, "dram.latency_ns": 100.0}, "p0000")
    assert (made.columns, made.rows, made.clock_mhz, made.scratchpad_kib) == (32, 8, 150, 512)
    assert made.dram.latency == 15 and made.dram.beats == made.dram.per_cycles == 1


def test_other_programs_of_a_network_are_run_as_the_commands_run_them() -> None:
    arch = PRESETS["8x8"]
    network = flow.load_network(USE.name)
    samples = flow.evaluate(network, network.spec.data.test_images(None, 2)).inputs
    live = flow.compile_live(network, arch)
    (cycles,) = run(load_workload(replace(USE, program="live", images=2)), arch, [arch.dram])
    assert cycles == [simulate(live, sample).cycles for sample in samples]
    (cycles,) = run(load_workload(replace(USE, program="dense", images=2)), arch, [arch.dram])
    assert cycles == [simulate(flow.compile_dense(network, arch), samples[0]).cycles]


def test_without_dask_or_a_scheduler_the_command_says_so(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('objectives = ["lut"]\n[[networks]]\nname = "resnet20"\nimages = 1\n[axes]\nrows = [8]\n')
    command = ["explore", str(path), "-o", str(tmp_path / "out"), "--cluster", "tcp://127.0.0.1:9"]
    ran = CliRunner().invoke(main, command)
    assert ran.exit_code == 2
    try:
        import distributed  # noqa: F401
    except ImportError:
        assert "--cluster needs dask: pip install 'gatewright[cluster]'" in ran.output
    else:
        assert "no dask scheduler answers at tcp://127.0.0.1:9" in ran.output


def test_the_command_ends_with_arch_files_that_simulate_takes_and_a_page(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(
        'objectives = ["latency", "dsp"]\nboards = ["ultra96"]\n[search]\nbatch = 4\n'
        '[[networks]]\nname = "dgnet-resnet20-0.4"\nimages = 1\n'
        "[axes]\ncolumns = [4, 8, 12]\nscratchpad_kib = [4, 128, 256]\n[axes.dram]\ngigabytes_per_second = [1.2, 3.6]\n"
    )
    out = tmp_path / "out"
    command = ["explore", str(path), "-o", str(out), "--points", "6", "--workers", "1", "--reports", "1"]
    ran = CliRunner().invoke(main, command, catch_exceptions=False)
    assert ran.exit_code == 0 and "points     6 of 18" in ran.output
    data = json.loads((out / "explore.json").read_text())
    page = (out / "explore.html").read_text()
    possible = [point for point in data["points"] if point["refused"] is None]
    assert possible and all(f'id="{point["name"]}"' in page for point in possible)
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org", "")
    point = possible[-1]
    program = str(tmp_path / "program.safetensors")
    arch = str(out / "points" / f"{point['name']}.toml")
    for words in (
        ["compile", "dgnet-resnet20-0.4", "--image", "0", "--arch", arch, "-o", program],
        ["simulate", program],
    ):
        ran = CliRunner().invoke(main, words, catch_exceptions=False)
        assert ran.exit_code == 0
    (cycles,) = point["cycles"]["dgnet-resnet20-0.4"]
    assert f"cycles       {cycles:,} (" in ran.output
    links = [link for one in possible for link in one["reports"].values()]
    assert len(links) == 1 and (out / links[0]).is_file() and f'href="{links[0]}"' in page
