"""Heat maps by class: what gates decide for the images of each class, and at which exit these leave."""

from __future__ import annotations

from typing import Any

from gatewright.report.svg import NARROW, WIDE, Svg, cut

BEYOND_CHANCE = 3.0
"""From how many standard deviations on a cell has a frame."""

FEW = 10
"""Images of a class below which its mean says little about the class."""

_COLUMNS = {True: 10, False: 20}
"""Classes of a narrow and of a wide picture."""

_LEVELS = 10
_LETTER, _MOST_LETTERS = 7.0, 18


def shown_classes(by_class: dict[str, Any], width: float) -> list[int]:
    """Places of the classes that a picture of a width has room for: those with the most images, in order."""
    classes = by_class["classes"]
    places = sorted(range(len(classes)), key=lambda place: (-classes[place]["images"], place))
    return sorted(places[: _COLUMNS[width <= NARROW]])


def class_picture(report: dict[str, Any], rows_of: str, width: float = WIDE) -> str:
    """A row for each of ``gates`` or ``exits``, a column for each class and one for all images; percent."""
    by_class, names = report["by_class"], report["class_names"]
    rows, places, narrow = by_class[rows_of], shown_classes(by_class, width), width <= NARROW
    classes = [by_class["classes"][place] for place in places]
    titles = [_begin(class_title(names, one["label"])) for one in classes]
    labels = [cut(row["name"], 44) for row in rows]
    left = 14.0 if narrow else 24 + _LETTER * max(map(len, [*labels, "images"]))
    above = 18.0 if narrow else 0.0  # where a row's name stands in a narrow picture
    longest = max(map(len, titles))
    slanted = longest > 3
    right = 10 + (0.6 * _LETTER * longest if slanted else 0)
    pitch = min((width - left - right) / (len(places) + 1), 64.0)
    tall = 24.0 + above
    top = 10 + (0.85 * _LETTER * longest if slanted else 10)
    what = "mean share that is on" if rows_of == "gates" else "share of the images that leave there"
    svg = Svg(
        width,
        top + (len(rows) + 1) * tall + 34,
        f"{'Gates' if rows_of == 'gates' else 'Exits'} by class",
        f"{what}, by class; " + "; ".join(_words(row, places, titles) for row in rows),
    )
    for place, title in enumerate([*titles, "all"]):
        x = left + (place + 0.5) * pitch
        svg.text(x, top - 4, title, "tick" if slanted else "tick middle", -55 if slanted else 0)
    total = sum(one["images"] for one in by_class["classes"])
    _label(svg, "images", left, top, narrow)
    for place, count in enumerate([*(one["images"] for one in classes), total]):
        svg.text(left + (place + 0.5) * pitch, top + above + 16, f"{count}", "tick middle")
    for number, (row, label) in enumerate(zip(rows, labels, strict=True), 1):
        y = top + number * tall
        _label(svg, label, left, y, narrow)
        for column, place in enumerate(places):
            share, deviation = row["share_by_class"][place], row["deviation_by_class"][place]
            hint = f"{row['name']}, {titles[column]}: {_percent(share)} ({classes[column]['images']} images)"
            _cell(svg, left + column * pitch, y + above, pitch, share, deviation, hint)
        mean = row["share_mean"]
        svg.text(left + (len(places) + 0.5) * pitch, y + above + 16, f"{100 * mean:.0f}", "value middle small")
    svg.text(left, top + (len(rows) + 1) * tall + 22, f"{what}, in percent", "axis")
    return svg.render()


def class_title(names: list[str], label: int) -> str:
    """What a class is called."""
    return names[label] if label < len(names) else str(label)


def framed(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """How many cells have a frame, and how many there are."""
    every = [value for row in rows for value in row["deviation_by_class"] if value is not None]
    return sum(abs(value) >= BEYOND_CHANCE for value in every), len(every)


def _begin(title: str) -> str:
    return title if len(title) <= _MOST_LETTERS else title[: _MOST_LETTERS - 1] + "\u2026"


def _label(svg: Svg, label: str, left: float, y: float, narrow: bool) -> None:
    if narrow:
        svg.text(left, y + 14, label, "label small")
    else:
        svg.text(left - 10, y + 16, label, "label end small")


def _cell(svg: Svg, x: float, y: float, wide: float, share: float | None, deviation: float | None, hint: str) -> None:
    if share is None or deviation is None:
        svg.text(x + wide / 2, y + 16, "\u2013", "tick middle")
        return
    marked = abs(deviation) >= BEYOND_CHANCE
    svg.rect(x + 1, y + 1, wide - 2, 22, f"heat h{round(share * _LEVELS)}{' framed' if marked else ''}", hint)
    svg.text(x + wide / 2, y + 16, f"{100 * share:.0f}", f"value middle small{' strong' if marked else ''}")


def _words(row: dict[str, Any], places: list[int], titles: list[str]) -> str:
    parts = [f"{title} {_percent(row['share_by_class'][place])}" for place, title in zip(places, titles, strict=True)]
    return f"{row['name']}: {', '.join(parts)}"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.0%}"
