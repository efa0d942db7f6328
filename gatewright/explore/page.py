"""A search as one HTML file that needs nothing else, and as data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from gatewright.contract.errors import GatewrightError
from gatewright.explore.checked import PointVerified
from gatewright.explore.machines import arch_toml
from gatewright.explore.objectives import OBJECTIVES, front
from gatewright.explore.outcome import Outcome
from gatewright.explore.pictures import Dot, scatter
from gatewright.explore.space import Space
from gatewright.explore.study import judge_outcome
from gatewright.report.svg import fitted

PAGE, DATA = "explore.html", "explore.json"


@dataclass(frozen=True)
class Result:
    """A search's points, with synthesised figures where there are any, and what else is known of some, by number."""

    space: Space
    outcomes: Sequence[Outcome]
    verified: Mapping[int, PointVerified]
    reports: Mapping[int, Mapping[str, str]]
    """Each network's report, as a link from the page."""
    area_error: str
    """What the model of the area is off by, in words."""

    @property
    def possible(self) -> list[Outcome]:
        """The points that were not refused."""
        return [outcome for outcome in self.outcomes if outcome.refused is None]

    @property
    def front(self) -> list[Outcome]:
        """The points that no other beats, by the first objective, the best first."""
        points = self.possible
        figures = [judge_outcome(self.space, outcome) for outcome in points]
        first = self.space.objectives[0]
        sign = -1 if OBJECTIVES[first].larger else 1
        kept = front(figures, self.space.objectives)
        return [points[place] for place in sorted(kept, key=lambda place: (sign * figures[place][first], place))]


def result_data(result: Result) -> dict[str, Any]:
    """All figures as plain data."""
    of_front = {outcome.number for outcome in result.front}
    points = [_point(result, outcome, outcome.number in of_front) for outcome in result.outcomes]
    refused = Counter(outcome.refused.by for outcome in result.outcomes if outcome.refused is not None)
    return {
        "space": result.space.to_dict(),
        "size": result.space.size,
        "points": points,
        "front": [outcome.name for outcome in result.front],
        "refused": dict(refused),
        "area_error": result.area_error,
    }


def _point(result: Result, outcome: Outcome, on_front: bool) -> dict[str, Any]:
    possible = outcome.refused is None
    verified = result.verified.get(outcome.number)
    return {
        "name": outcome.name,
        **outcome.to_dict(),
        "front": on_front,
        "objectives": judge_outcome(result.space, outcome) if possible else None,
        "verified": None if verified is None else [vars(network) for network in verified.networks],
        "reports": dict(result.reports.get(outcome.number, {})),
    }


def render(result: Result) -> str:
    """The page."""
    data = result_data(result)
    here, report = resources.files("gatewright.explore"), resources.files("gatewright.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(figure=_figure)
    by_name = {outcome.name: outcome for outcome in result.outcomes}
    arches = {name: arch_toml(outcome.arch) for name, outcome in by_name.items() if outcome.arch is not None}
    possible = [point for point in data["points"] if point["refused"] is None]
    dots = [_dot(result.space, point) for point in possible]
    pairs = list(combinations(result.space.objectives, 2)) if dots else []
    return environment.from_string((here / "explore.html").read_text("utf-8")).render(
        data=data,
        space=result.space,
        objectives=[(name, OBJECTIVES[name]) for name in result.space.objectives],
        every=OBJECTIVES,
        pictures=[Markup(fitted(partial(scatter, dots, *pair))) for pair in pairs],  # our own markup
        possible=possible,
        front=[next(point for point in possible if point["name"] == name) for name in data["front"]],
        refused=[point for point in data["points"] if point["refused"] is not None],
        arches=arches,
        style=Markup((report / "report.css").read_text("utf-8")),
    )


def write_page(result: Result, folder: Path) -> Path:
    """Write page and data into the folder of the search."""
    texts = {folder / DATA: json.dumps(result_data(result), indent=1) + "\n", folder / PAGE: render(result)}
    try:
        for path, text in texts.items():
            partial = path.with_name(path.name + ".partial")
            partial.write_text(text, "utf-8")
            partial.replace(path)
    except OSError as error:
        raise GatewrightError(f"cannot write to {folder}: {error.strerror}") from error
    return folder / PAGE


def _dot(space: Space, point: Mapping[str, Any]) -> Dot:
    figures: dict[str, float] = point["objectives"]
    shown = ", ".join(f"{OBJECTIVES[name].title} {_figure(figures[name])}" for name in space.objectives)
    axes = ", ".join(f"{name} {value}" for name, value in point["values"].items())
    kind = "front" if point["front"] else "dense"
    if point["front"] and point["verified"] is not None:
        kind = "front verified"
    return Dot(figures, kind, f"{point['name']}: {shown} ({axes})", f"#{point['name']}")


def _figure(value: float) -> str:
    """Four digits, or all of a large number."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.4g}"
