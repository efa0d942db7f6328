"""Pictures of whole runs: the waterfall, where the cycles go, and how the speedup is spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gatewright.report.svg import MINUS, NARROW, TIMES, WIDE, Svg, short, ticks, ticks_between

CLOSE = 0.8
"""Where all bounds of a waterfall are within this share of the largest, its axis does not begin at 0."""

_BOLD = 8.0
"""Room for a bold letter, on average, in user units."""


def waterfall_picture(fall: dict[str, Any], images: int, width: float = WIDE) -> str:
    """Rows from the theoretical speedup at the top down to the realised one."""
    steps = [step for step in fall["steps"] if abs(step["speedup_lost"]) >= 5e-4]
    rows = [
        Step(
            step["title"],
            step["speedup_before"],
            step["speedup_after"],
            _signed(-step["speedup_lost"], 2 if abs(step["speedup_lost"]) >= 0.01 else 3) + TIMES,
            f"{step['cycles']:+,.0f} cycles an image. {step['meaning']}",
        )
        for step in steps
    ]
    return bridge_picture(
        "Waterfall from theoretical to realised speedup",
        f"Mean over {images} images: theoretical {fall['theoretical']:.2f}x, realised {fall['realised']:.2f}x. "
        + "; ".join(f"{s['title']} {-s['speedup_lost']:+.3f}x" for s in steps),
        Ends(
            ("Theoretical", "theory", f"{fall['theoretical']:.2f}{TIMES}", "MAC ratio dense / gated"),
            ("Realised", "gated", f"{fall['realised']:.2f}{TIMES}", "dense cycles / gated cycles"),
            fall["theoretical"],
            fall["realised"],
        ),
        rows,
        "speedup over the dense run",
        TIMES,
        width,
    )


class Step(NamedTuple):
    """One step of a bridge: where it begins and ends, what is written beside it, and what the pointer is told."""

    title: str
    begin: float
    end: float
    label: str
    hint: str


class Ends(NamedTuple):
    """The whole bars of a bridge: (title, style, label, hint) of the first and the last, and their values."""

    first: tuple[str, str, str, str]
    last: tuple[str, str, str, str]
    begin: float
    end: float


def bridge_picture(
    title: str,
    description: str,
    ends: Ends,
    steps: Sequence[Step],
    axis: str,
    unit: str,
    width: float = WIDE,
    more_is_loss: bool = False,
) -> str:
    """A waterfall: a whole bar, a row for each step, a whole bar.

    The axis begins at 0, or near the smallest value where the values are close to one another; then whole bars are cut,
    and the axis says so. A step that is a loss is down, or up with ``more_is_loss``. In a narrow picture a row's words
    stand above its bar, not beside it.
    """
    narrow = width <= NARROW
    left, right, row, top, over = (18, 22, 46, 8, 18) if narrow else (190, 80, 30, 26, 0)
    bounds = [ends.begin, ends.end, *(value for step in steps for value in (step.begin, step.end))]
    low, high = min(bounds), max(bounds)
    cut, wanted = low > CLOSE * high > 0, 3 if narrow else 6
    marks = ticks_between(low - max(0.25 * (high - low), 0.005 * high), high, wanted) if cut else ticks(high, wanted)
    origin, scale = marks[0], (width - left - right) / (marks[-1] - marks[0])

    def x_of(value: float) -> float:
        return left + (value - origin) * scale

    bottom = top + row * (len(steps) + 2)
    svg = Svg(width, bottom + 46, title, description + (f"; the axis begins at {origin:g}" if cut else ""))
    for mark in marks:
        svg.line(x_of(mark), top - 4, x_of(mark), bottom, "grid")
        svg.text(x_of(mark), bottom + 16, _tick(mark, unit), "tick middle")
    begins = f"; the axis begins at {_tick(origin, unit)}" if cut else ""
    svg.text((left + width - right) / 2, bottom + 38, axis + begins, "axis middle")

    def bar(number: int, begin: float, end: float, style: str, words: tuple[str, str, str], whole: bool) -> None:
        y, (name, label, hint) = top + row * number + over, words
        near, far = x_of(min(begin, end)), x_of(max(begin, end))
        strong = " strong" if whole else ""
        svg.rect(near, y + 5, max(far - near, 1.5), 20, style, hint)
        if whole and cut:
            svg.polyline([(left + 12, y + 3), (left + 7, y + 15), (left + 13, y + 15), (left + 8, y + 27)], "cut")
        if number <= len(steps):
            svg.line(x_of(end), y + 25, x_of(end), y + row + 5, "link")
        if narrow:
            svg.text(left, y - 1, name, f"label over{strong}")
            svg.text(width - right, y - 1, label, f"value over end{strong}")
        else:
            svg.text(left - 12, y + 19, name, f"label end{strong}")
            svg.text(far + 8, y + 19, label, f"value{strong}")

    name, style, label, hint = ends.first
    bar(0, origin, ends.begin, style, (name, label, hint), True)
    for number, step in enumerate(steps, 1):
        style = "loss" if (step.end > step.begin) == more_is_loss else "gain"
        hint = f"{step.title}: {step.label}, {step.hint}"
        bar(number, step.begin, step.end, style, (step.title, step.label, hint), False)
    name, style, label, hint = ends.last
    bar(len(steps) + 1, origin, ends.end, style, (name, label, hint), True)
    return svg.render()


def _tick(mark: float, unit: str) -> str:
    """What stands at a mark of an axis: the number and its unit, or a count in thousands and so on."""
    return f"{mark:.6g}{unit}" if unit else short(mark, 4)


def _signed(value: float, digits: int) -> str:
    return f"{value:+,.{digits}f}".replace("-", MINUS)


def cause_picture(causes: list[dict[str, Any]], width: float = WIDE) -> str:
    """Two stacked bars, dense and gated, on one scale of cycles; in a narrow picture their names are above them."""
    narrow = width <= NARROW
    left, right, top, over = (18, 22, 2, 18) if narrow else (70, 90, 8, 0)
    bar = 40
    sides = (("Dense", "cycles_dense"), ("Gated", "cycles_gated_mean"))
    totals = [sum(cause[key] for cause in causes) for _, key in sides]
    marks = ticks(max(totals), 3 if narrow else 6)
    scale = (width - left - right) / marks[-1]
    bottom = top + 2 * (bar + 14 + over)
    svg = Svg(
        width,
        bottom + 46,
        "Cycles by cause",
        "; ".join(
            f"{name} {total:,.0f} cycles: " + ", ".join(f"{c['title']} {c[key] / total:.1%}" for c in causes)
            for (name, key), total in zip(sides, totals, strict=True)
        ),
    )
    for mark in marks:
        svg.line(left + mark * scale, top, left + mark * scale, bottom, "grid")
        svg.text(left + mark * scale, bottom + 16, short(mark), "tick middle")
    svg.text(left + marks[-1] * scale / 2, bottom + 38, "cycles per image", "axis middle")
    for number, ((name, key), total) in enumerate(zip(sides, totals, strict=True)):
        y, x = top + 7 + over + number * (bar + 14 + over), float(left)
        if narrow:
            svg.text(left, y - 6, f"{name}, {short(total)}", "label over strong")
        else:
            svg.text(left - 12, y + bar / 2 + 5, name, "label end strong")
        for position, cause in enumerate(causes):
            wide = cause[key] * scale
            hint = f"{cause['title']}: {cause[key]:,.0f} cycles, {cause[key] / total:.1%} of the {name.lower()} run"
            if wide > 0:
                svg.rect(x, y, wide, bar, f"cause c{position}", hint)
            if wide > 46:
                svg.text(x + wide / 2, y + bar / 2 + 5, f"{cause[key] / total:.0%}", f"inside middle i{position}")
            x += wide
        if not narrow:
            svg.text(x + 8, y + bar / 2 + 5, short(total), "value strong")
    return svg.render()


def histogram_picture(theoretical: list[float], realised: list[float], width: float = WIDE) -> str:
    """Two histograms over the same bins of speedup, one above the other."""
    rows = (("Theoretical", theoretical, "theory"), ("Realised", realised, "gated"))
    title, axis = "Distribution of the speedup over images", "speedup over the dense run"
    return distribution_picture(title, rows, axis, TIMES, width)


def distribution_picture(
    title: str, rows: Sequence[tuple[str, list[float], str]], axis: str, unit: str, width: float = WIDE
) -> str:
    """Histograms over the same bins, one above the other: (name, values of the images, style) of two."""
    narrow = width <= NARROW
    left, right, plot, gap, top = 48 if narrow else 60, 20, 110, 34, 22
    every = [value for _, values, _ in rows for value in values]
    low, high = min(every), max(every)
    bins = min(40, max(8, round(len(rows[-1][1]) ** 0.5 * 2)))
    span = (high - low) or abs(high) or 1.0
    low, high = low - 0.02 * span, high + 0.02 * span

    def number(value: float) -> str:
        return f"{value:.2f}{unit}" if unit else f"{value:,.0f}"

    scale = (width - left - right) / (high - low)
    height = top + 2 * plot + gap + 46
    svg = Svg(
        width,
        height,
        title,
        "; ".join(f"{name} from {number(min(v))} to {number(max(v))}, {len(v)} images" for name, v, _ in rows),
    )
    counts = [_counts(values, low, high, bins) for _, values, _ in rows]
    marks = ticks(max(max(c) for c in counts), 3)
    for place, (name, values, style) in enumerate(rows):
        base = top + plot + place * (plot + gap)
        for mark in marks:
            y = base - mark / marks[-1] * plot
            svg.line(left, y, width - right, y, "grid")
            svg.text(left - 8, y + 4, f"{mark:g}", "tick end")
        wide = (width - left - right) / bins
        for position, count in enumerate(counts[place]):
            tall = count / marks[-1] * plot
            begin = low + position * (high - low) / bins
            hint = f"{name} {number(begin)} to {number(begin + (high - low) / bins)}: {count} images"
            if count:
                svg.rect(left + position * wide + 1, base - tall, max(wide - 2, 1), tall, style, hint)
        mean = sum(values) / len(values)
        x = left + (mean - low) * scale
        svg.line(x, base - plot - 6, x, base, "mean")
        words = f"{name}: mean {number(mean)}"
        svg.text(max(min(x + 6, width - _BOLD * len(words)), 4), base - plot - 8, words, "value strong")
    base = top + 2 * plot + gap
    for mark in ticks_between(low, high, 4 if narrow else 8):
        if low <= mark <= high:
            svg.text(left + (mark - low) * scale, base + 16, _tick(mark, unit), "tick middle")
    svg.text((left + width - right) / 2, base + 38, axis, "axis middle")
    svg.text(14, top + plot + gap / 2, "images", "axis middle", -90)
    return svg.render()


def _counts(values: list[float], low: float, high: float, bins: int) -> list[int]:
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return counts
