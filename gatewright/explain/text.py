"""An explanation as text: sentences, then tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any

WIDTH = 110


def text(found: dict[str, Any]) -> str:
    """The answers, and under them the layers, machines and gates in figures."""
    how = "one live program" if found["live"] else "a program for each image"
    lines = [f"{found['network']} on {found['arch']['name']}, {found['images']} images, {how}"]
    for topic in ("layers", "machines", "gates"):
        lines += ["", *(fill(one["text"], WIDTH, subsequent_indent="  ") for one in _of(found, topic))]
    return "\n".join([*lines, "", *_layers(found), "", *_machines(found), "", *_gates(found)])


def _of(found: dict[str, Any], topic: str) -> list[dict[str, str]]:
    return [one for one in found["answers"] if one["topic"] == topic]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; the first column is to the left, the others to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if not n else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    ]


def _layers(found: dict[str, Any]) -> list[str]:
    holders = [row for row in found["holders"] if any(layer["held"][row["holder"]] for layer in found["layers"])]
    titles = {row["holder"]: row["title"] for row in found["holders"]}
    return table(
        ["layer", "cycles", "held by", *(row["title"] for row in holders)],
        (
            [
                row["name"],
                number(row["cycles"]),
                titles.get(row["bound"], "-"),
                *(number(row["held"][one["holder"]]) for one in holders),
            ]
            for row in found["layers"]
        ),
    )


def _machines(found: dict[str, Any]) -> list[str]:
    rows = sorted(found["machines"], key=lambda row: (not row["more"], row["gain"] is None, -(row["gain"] or 0)))
    listed = table(
        ["machine", "cycles", "gain", "arch file"],
        (
            [row["what"], number(row["cycles"]), signed(row["gain"]), row["line"]]
            for row in rows
            if row["refused"] is None
        ),
    )
    return [*listed, *(f"refused: {row['what']}: {row['refused']}" for row in rows if row["refused"] is not None)]


def _gates(found: dict[str, Any]) -> list[str]:
    if not found["gates"]:
        return []
    head = ["gate", "kind", "on", "saves", "of", "deciding", "all on", "without", "one more", "one less"]
    keys = ("saved", "promised", "deciding", "cycles_open", "cycles_without")
    rows = (
        [
            row["name"],
            row["kind"],
            f"{row['density']:.0%}",
            *(number(row[key]) for key in keys),
            signed(row["one_more"]),
            signed(row["one_less"]),
        ]
        for row in found["gates"]
    )
    refused = [f"refused without {row['name']}: {row['refused']}" for row in found["gates"] if row["refused"]]
    return [*table(head, rows), *refused]


def number(value: float | None) -> str:
    """A figure without decimals, or a dash."""
    return "-" if value is None else f"{value:,.0f}"


def signed(value: float | None) -> str:
    """A difference."""
    return "-" if value is None else f"{value:+,.0f}"
