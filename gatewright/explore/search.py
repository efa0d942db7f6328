"""Behind the search: arch files of all points, what is wanted of the front's, and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gatewright.boards import load_board
from gatewright.contract.errors import GatewrightError
from gatewright.explore.area import accuracy
from gatewright.explore.checked import REPORT, SYNTH, VERIFY, report, spread, synthesised, verified
from gatewright.explore.machines import arch_toml, over_goals
from gatewright.explore.outcome import Outcome
from gatewright.explore.page import Result, write_page
from gatewright.explore.space import BOARD, Space
from gatewright.explore.workload import Workload

POINTS = "points"
"""The folder of arch files and of what is made for single points."""


@dataclass(frozen=True)
class Wanted:
    """How many points of the front are to be synthesised, verified with ``verify_images`` each, and reported."""

    synths: int = 0
    verifies: int = 0
    verify_images: int = 1
    reports: int = 0


def finish(
    space: Space,
    outcomes: Sequence[Outcome],
    workloads: Sequence[Workload],
    out: Path,
    wanted: Wanted,
    workers: int,
    say: Callable[[str], None],
) -> Result:
    """Write all arch files, do what is wanted of points of the front, and write the page.

    What earlier calls have done for other points is kept, and shown.
    """
    points = out / POINTS
    try:
        points.mkdir(parents=True, exist_ok=True)
        for outcome in outcomes:
            if outcome.arch is not None:
                (points / f"{outcome.name}.toml").write_text(arch_toml(outcome.arch), "utf-8")
    except OSError as error:
        raise GatewrightError(f"cannot write to {points}: {error.strerror}") from error

    def those(file: str, count: int) -> list[Outcome]:
        """Points of the front, evenly, and those that have the file."""
        chosen = {one.number for one in spread(result.front, count)}
        return [one for one in result.possible if one.number in chosen or (points / one.name / file).is_file()]

    result = Result(space, outcomes, {}, {}, str(accuracy()))
    measured = {}
    for one in those(SYNTH, wanted.synths):
        say(f"synthesise {one.name}")
        measured[one.number] = _with_area(one, points / one.name)
    result = replace(result, outcomes=[measured.get(outcome.number, outcome) for outcome in outcomes])
    checked = {}
    for one in those(VERIFY, wanted.verifies):
        say(f"verify {one.name}")
        checked[one.number] = verified(one, workloads, wanted.verify_images, points / one.name)
    links = {}
    for one in those(f"network0/{REPORT}", wanted.reports):
        say(f"report {one.name}")
        links[one.number] = _reports(space, one, out, workers)
    result = replace(result, verified=checked, reports=links)
    write_page(result, out)
    return result


def _with_area(outcome: Outcome, folder: Path) -> Outcome:
    """The point with synthesised figures; refused if they are over its board's goals."""
    area = synthesised(outcome, folder)
    board = outcome.values.get(BOARD)
    refused = None if board is None else over_goals(load_board(str(board)), area)
    return replace(outcome, area=area, refused=refused)


def _reports(space: Space, outcome: Outcome, out: Path, workers: int) -> dict[str, str]:
    """The report of each network on a point's machine, as links from the page."""
    assert outcome.arch is not None
    links = {}
    for number, use in enumerate(space.networks):
        folder = out / POINTS / outcome.name / f"network{number}"
        links[use.name] = str(report(use, outcome.arch, folder, workers).relative_to(out))
    return links
