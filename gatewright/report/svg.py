"""A small writer of SVG charts: elements, scales, ticks, and numbers as people read them.

Colours are never written into the picture; elements carry classes, so that the page's style sheet
can paint them for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

TIMES = "\u00d7"
"""The sign behind a speedup."""

MINUS = "\u2212"

WIDE, NARROW = 920.0, 360.0
"""Widths of a picture in user units: on a desk, and in a window too narrow for that."""


def fitted(draw: Callable[[float], str]) -> str:
    """A picture drawn for either width; the style sheet shows the one whose letters can be read in the window."""
    return f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(NARROW)}</div>'


class Svg:
    """One picture of ``width`` by ``height`` user units, with a title and a description for screen readers."""

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self._width, self._height, self._title, self._description = width, height, title, description
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, style: str, hint: str = "") -> None:
        """A rectangle; ``hint`` is shown by the browser under the pointer."""
        if width < 0:
            x, width = x + width, -width
        shape = f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" class="{style}"'
        self._parts.append(f"{shape}>{_hint(hint)}</rect>" if hint else f"{shape}/>")

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """A straight line."""
        self._parts.append(f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" class="{style}"/>')

    def circle(self, x: float, y: float, radius: float, style: str, hint: str = "", link: str = "") -> None:
        """A point; with a ``link`` it leads there."""
        shape = f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" class="{style}"'
        circle = f"{shape}>{_hint(hint)}</circle>" if hint else f"{shape}/>"
        self._parts.append(f'<a href="{escape(link)}">{circle}</a>' if link else circle)

    def polyline(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """An open line through points."""
        path = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._parts.append(f'<polyline points="{path}" class="{style}"/>')

    def text(self, x: float, y: float, text: str, style: str, turn: float = 0) -> None:
        """Text whose anchor is decided by its class; ``turn`` degrees clockwise about its position."""
        rotate = f' transform="rotate({_n(turn)} {_n(x)} {_n(y)})"' if turn else ""
        self._parts.append(f'<text x="{_n(x)}" y="{_n(y)}" class="{style}"{rotate}>{escape(text)}</text>')

    def render(self, natural: bool = False) -> str:
        """The element. It fills the page's width, or keeps its ``natural`` size in a scrolling frame."""
        # What is a picture alone hides its links from those who listen.
        role = "group" if any(part.startswith("<a ") for part in self._parts) else "img"
        size = f' width="{_n(self._width)}" height="{_n(self._height)}"' if natural else ""
        return (
            f'<svg viewBox="0 0 {_n(self._width)} {_n(self._height)}"{size} role="{role}">'
            f"<title>{escape(self._title)}</title><desc>{escape(self._description)}</desc>"
            f"{''.join(self._parts)}</svg>"
        )


def ticks(top: float, wanted: int = 5) -> list[float]:
    """Round numbers from 0 to at least ``top``, about ``wanted`` steps apart; 0 and 1 where ``top`` is not positive."""
    if not top > 0:
        return [0.0, 1.0]
    rough = top / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.9999)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def ticks_between(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``, about ``wanted`` steps apart; ``high`` must be above."""
    step = ticks(high - low, wanted)[1]
    first = math.floor(low / step + 1e-9)
    return [step * n for n in range(first, math.ceil(high / step - 1e-9) + 1)]


def short(value: float, digits: int = 3) -> str:
    """A number in so many digits or so, with k, M or G."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.{digits}g}{unit}"
    return f"{value:.{digits}g}"


def _hint(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def cut(name: str, most: int) -> str:
    """The end of a name that is too long, which says more than its begin."""
    return name if len(name) <= most else "\u2026" + name[1 - most :]


def shares_chart(
    title: str, words: str, names: Sequence[str], axis: str, width: float, row: float = 22, right: float = 80
) -> tuple[Svg, float, float]:
    """An empty chart of horizontal bars on 0 to 100 %: the picture, the bars' left edge, the width of the whole.

    The bars of ``names``, ``row`` user units each, begin 8 below the top; ``right`` is kept for figures beside them.
    """
    left = 24 + 7.0 * max(map(len, names))
    plot, base = width - left - right, 8.0 + len(names) * row
    svg = Svg(width, base + 46, title, words)
    for mark in range(0, 101, 50 if width <= NARROW else 25):
        svg.line(left + plot * mark / 100, 6, left + plot * mark / 100, base, "grid")
        svg.text(left + plot * mark / 100, base + 16, f"{mark} %", "tick middle")
    svg.text(left + plot / 2, base + 38, axis, "axis middle")
    return svg, left, plot
