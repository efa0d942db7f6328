"""Pictures of work by block: over many images, and of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gatewright.report.svg import NARROW, WIDE, Svg, cut, shares_chart, short

_ROW = 24
_LETTER = 7.0
_STRIP, _COLUMN = 100.0, 22.0


def block_picture(blocks: list[dict[str, Any]], width: float = WIDE) -> str:
    """A bar for each block, the mean share of its MACs that is executed; a line from p5 to p95, points at the ends."""
    narrow = width <= NARROW
    names = [cut(row["name"], 20 if narrow else 44) for row in blocks]
    figures = [_figures(row, narrow) for row in blocks]
    axis = "share of the block's MACs" if narrow else "share of the block's MACs that is executed"
    right = 28 + _LETTER * max(map(len, figures))
    svg, left, plot = shares_chart("Work by block", "; ".join(map(_words, blocks)), names, axis, width, _ROW, right)
    for number, (row, name) in enumerate(zip(blocks, names, strict=True)):
        y = 8.0 + number * _ROW
        middle = y + _ROW / 2
        svg.text(left - 10, middle + 4, name, "label end small")
        svg.rect(left, y + 4, row["executed_mean"] * plot, _ROW - 8, "depends", _words(row))
        near, far = (left + row[f"executed_p{p}"] * plot for p in (5, 95))
        svg.line(near, middle, far, middle, "mean")
        for x in (near, far):
            svg.line(x, middle - 5, x, middle + 5, "mean")
        for end in ("least", "most"):
            svg.circle(left + row[f"executed_{end}"] * plot, middle, 2.5, "extreme", f"{row['name']}: {end}")
        svg.text(left + plot + 12, middle + 4, figures[number], "value small")
    return svg.render()


def _figures(row: dict[str, Any], narrow: bool) -> str:
    spread = f" of {short(row['macs_dense'])} ({row['executed_p5']:.0%} to {row['executed_p95']:.0%})"
    return f"{row['executed_mean']:.0%}{'' if narrow else spread}"


def _words(row: dict[str, Any]) -> str:
    return (
        f"{row['name']}, {short(row['macs_dense'])} MACs dense: {row['executed_mean']:.1%} executed, p5 "
        f"{row['executed_p5']:.1%}, p95 {row['executed_p95']:.1%}, least {row['executed_least']:.1%}, most "
        f"{row['executed_most']:.1%}"
    )


def strip_picture(index: int, names: Sequence[str], shares: Sequence[float]) -> str:
    """A column for each block, in order: the share of its MACs that an image executes, of the whole height."""
    words = "; ".join(f"{name} {share:.0%}" for name, share in zip(names, shares, strict=True))
    svg = Svg(_STRIP, _STRIP, f"Work by block of image {index}", words)
    pitch = min(_STRIP / len(names), _COLUMN)
    for number, (name, share) in enumerate(zip(names, shares, strict=True)):
        hint = f"{name}: {share:.0%} of its MACs"
        svg.rect(number * pitch, 0, pitch * 0.84, _STRIP, "track", hint)
        svg.rect(number * pitch, _STRIP * (1 - share), pitch * 0.84, _STRIP * share, "gated", hint)
    return svg.render()
