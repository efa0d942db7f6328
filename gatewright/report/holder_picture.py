"""Who has the cycles of each layer: a stacked bar a layer."""

from __future__ import annotations

from typing import Any

from gatewright.report.svg import NARROW, WIDE, Svg, short, ticks

_ROW = 20


def holder_picture(found: dict[str, Any], width: float = WIDE) -> str:
    """A row for each layer that takes time, in order of execution, on one scale of cycles."""
    rows = [row for row in found["layers"] if row["cycles"]]
    left, right = 24 + 7.0 * max(len(row["name"]) for row in rows), 70
    base = 8.0 + len(rows) * _ROW
    marks = ticks(max(row["cycles"] for row in rows), 2 if width <= NARROW else 6)
    scale = (width - left - right) / marks[-1]
    titles = {one["holder"]: one["title"] for one in found["holders"]}
    svg = Svg(
        width,
        base + 46,
        "Who has the cycles of each layer",
        "; ".join(f"{row['name']}: {row['cycles']:,.0f}, most by {titles[row['bound']]}" for row in rows),
    )
    for mark in marks:
        svg.line(left + mark * scale, 6, left + mark * scale, base, "grid")
        svg.text(left + mark * scale, base + 16, short(mark), "tick middle")
    svg.text((left + width - right) / 2, base + 38, "cycles an image", "axis middle")
    for number, row in enumerate(rows):
        y, x = 8 + number * _ROW, float(left)
        svg.text(left - 10, y + 14, row["name"], "label end small")
        for place, (holder, title) in enumerate(titles.items()):
            wide = row["held"][holder] * scale
            if wide > 0:
                hint = f"{row['name']}, {title}: {row['held'][holder]:,.0f} cycles"
                svg.rect(x, y + 3, wide, _ROW - 6, f"cause c{place}", hint)
            x += wide
        svg.text(x + 8, y + 14, short(row["cycles"]), "value small")
    return svg.render()
