"""The pictures of a search: its points by two objectives at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gatewright.explore.objectives import OBJECTIVES, front
from gatewright.report.svg import NARROW, WIDE, Svg, short

_TOP, _BOTTOM = 16, 56

_LOGARITHMIC = 12.0
"""An axis whose largest value is more than so many times the smallest has decades."""


@dataclass(frozen=True)
class Dot:
    """A point of the picture. ``kind`` is a class of the style sheet."""

    figures: Mapping[str, float]
    kind: str
    hint: str
    link: str


def scatter(dots: Sequence[Dot], across: str, up: str, width: float = WIDE) -> str:
    """All points by the objectives ``across`` and ``up``; a line joins those that none beats in these two."""
    left, right, height, wanted = (66, 16, 380, 3) if width <= NARROW else (74, 24, 430, 6)
    x, x_marks = _scale([dot.figures[across] for dot in dots], left, width - right, wanted)
    y, y_marks = _scale([dot.figures[up] for dot in dots], height - _BOTTOM, _TOP, 6)
    svg = Svg(width, height, f"{_label(up)} against {_label(across)}", f"{len(dots)} points.")
    for mark in x_marks:
        svg.line(x(mark), _TOP, x(mark), height - _BOTTOM, "grid")
        svg.text(x(mark), height - _BOTTOM + 18, short(mark), "tick middle")
    for mark in y_marks:
        svg.line(left, y(mark), width - right, y(mark), "grid")
        svg.text(left - 8, y(mark) + 4, short(mark), "tick end")
    best = [dots[place].figures for place in front([dot.figures for dot in dots], (across, up))]
    steps = sorted((figures[across], figures[up]) for figures in best)
    svg.polyline([(x(a), y(b)) for a, b in steps], "link fronted")
    for dot in sorted(dots, key=lambda dot: dot.kind):  # those of the front above the others
        svg.circle(x(dot.figures[across]), y(dot.figures[up]), 5.5, f"point {dot.kind}", dot.hint, dot.link)
    svg.text((left + width - right) / 2, height - 8, _label(across), "axis middle")
    svg.text(16, (_TOP + height - _BOTTOM) / 2, _label(up), "axis middle", -90)
    return svg.render()


def _label(name: str) -> str:
    objective = OBJECTIVES[name]
    better = "more is better" if objective.larger else "less is better"
    return f"{objective.title}{f', {objective.unit}' if objective.unit else ''} ({better})"


def _scale(
    values: Sequence[float], low: float, high: float, wanted: int
) -> tuple[Callable[[float], float], list[float]]:
    """Where a value lies between two edges, and about ``wanted`` marks of its axis."""
    least, most = min(values), max(values)
    if least > 0 and most / least > _LOGARITHMIC:
        begin, end = math.log10(least) - 0.06, math.log10(most) + 0.06
        every = [m * 10.0**power for power in range(math.floor(begin), math.ceil(end) + 1) for m in (1, 2, 5)]
        marks = [mark for mark in every if begin <= math.log10(mark) <= end]
        return lambda value: low + (math.log10(value) - begin) / (end - begin) * (high - low), marks
    air = 0.06 * (most - least) or 0.06 * abs(most) or 1.0
    begin, end = least - air, most + air
    step = _step((end - begin) / wanted)
    marks = [step * i for i in range(math.ceil(begin / step), math.floor(end / step) + 1)]
    return lambda value: low + (value - begin) / (end - begin) * (high - low), marks


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.9999)
