"""An explanation as text: sentences, then tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any

WIDTH = 110


def text(found: dict[str, Any]) -> str:
    """The answers, and under them the layers, machines and gates in figures."""
    how = "one live program" if found["live"] else "a program for each image"
    images = f"{found['images']} image{'' if found['images'] == 1 else 's'}"
    lines = [f"{found['network']} on {found['arch']['name']}, {images}, {how}"]
    for topic in ("layers", "machines", "gates", "accesses"):
        lines += ["", *(fill(one["text"], WIDTH, subsequent_indent="  ") for one in _of(found, topic))]
    tables = (_layers, _machines, _gates, _accesses)
    return "\n".join(lines + [line for make in tables for line in ("", *make(found))])


def _of(found: dict[str, Any], topic: str) -> list[dict[str, str]]:
    return [one for one in found["answers"] if one["topic"] == topic]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; the first column is to the left, the others to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    lines = []
    for first, *others in cells:
        aligned = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *aligned]).rstrip())
    return lines


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


def _accesses(found: dict[str, Any]) -> list[str]:
    """Accesses in sum; by layer they are in the JSON."""
    total, energy = found["accesses"]["total"], found["energy"]
    head = ["accesses of an image", "read", "written"] + (["pJ read", "pJ written"] if energy else [])
    rows = []
    for name in found["accesses"]["words"]:
        both = [f"{name}.{way}" for way in WAYS]
        row = [name, *(number(total[access]) for access in both)]
        rows.append(row + [number(energy["by_access"].get(access)) for access in both] if energy else row)
    for name in (name for name in total if "." not in name):
        rows.append([name, number(total[name]), "-", *([number(energy["by_access"].get(name)), "-"] if energy else [])])
    return table(head, rows)


WAYS = ("read", "write")


def number(value: float | None) -> str:
    """A figure without decimals, or a dash."""
    return "-" if value is None else f"{round(value):,d}"


def signed(value: float | None) -> str:
    """A difference."""
    return "-" if value is None else f"{round(value):+,d}"
