"""Behind the search: arch files of all points, what is wanted of the front's, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gatewright.boards import load_board
from gatewright.contract.errors import GatewrightError
from gatewright.explore.area import accuracy
from gatewright.explore.checked import report, spread, synthesised, verified
from gatewright.explore.machines import arch_toml, over_goals
from gatewright.explore.outcome import Outcome
from gatewright.explore.page import Result, write_page
from gatewright.explore.space import BOARD, Space
from gatewright.explore.workload import Workload

POINTS = "points"
"""The folder of arch files and of what is made for single points."""


def finish(
    space: Space,
    outcomes: Sequence[Outcome],
    workloads: Sequence[Workload],
    out: Path,
    synths: int,
    verifies: int,
    verify_images: int,
    reports: int,
    workers: int,
) -> Result:
    """Write all arch files, synthesise, verify and report so many points of the front each, and write the page."""
    points = out / POINTS
    try:
        points.mkdir(parents=True, exist_ok=True)
        for outcome in outcomes:
            if outcome.arch is not None:
                (points / f"{outcome.name}.toml").write_text(arch_toml(outcome.arch), "utf-8")
    except OSError as error:
        raise GatewrightError(f"cannot write to {points}: {error.strerror}") from error
    result = Result(space, outcomes, {}, {}, str(accuracy()))
    chosen = spread(result.front, synths)
    measured = {one.number: _with_area(one, points / one.name) for one in chosen}
    result = replace(result, outcomes=[measured.get(outcome.number, outcome) for outcome in outcomes])
    # Those with measured figures first: they are what is looked at.
    of_front = result.front
    checked = {
        one.number: verified(one, workloads, verify_images, points / one.name) for one in spread(of_front, verifies)
    }
    links = {one.number: _reports(space, one, out, workers) for one in spread(of_front, reports)}
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
