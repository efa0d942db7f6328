"""Two reports side by side: what is different about the runs, and what that does to cycles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import COMPARISON, REPORT
from gatewright.contract.schema import format_of
from gatewright.measure.bounds import bound_by

_NEEDED = ("arch", "network", "summary", "waterfall", "cycles_by_cause", "images", "layers", "exits", "sharing")

FIGURES = (
    ("cycles_dense", "cycles, dense", "cycles"),
    ("cycles_gated_mean", "cycles, gated, mean", "cycles"),
    ("cycles_gated_p95", "cycles, gated, p95", "cycles"),
    ("cycles_replay_mean", "cycles, compiled for each image, mean", "cycles"),
    ("speedup_theoretical_mean", "speedup by MACs", "ratio"),
    ("speedup_realised_mean", "speedup realised", "ratio"),
    ("realised_over_theoretical_mean", "share of it that is kept", "fraction"),
    ("utilisation_gated_mean", "utilisation, gated", "fraction"),
    ("frames_per_second_gated", "images a second, gated", "1/s"),
    ("top1_int8", "top-1, int8", "fraction"),
)
"""Of the summaries: key, what it is called, its unit."""


def report_file(path: Path) -> Path:
    """A report's data: a file, or ``report.json`` in a folder."""
    return path / "report.json" if path.is_dir() else path


def read_report(path: Path) -> dict[str, Any]:
    """Read ``report.json``, or the folder that holds it; what is no report of this version is a ``GatewrightError``."""
    file = report_file(path)
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise GatewrightError(f"cannot read the report {file}: {error}") from error
    REPORT.check(format_of(found), f"report {file}")
    missing = [key for key in _NEEDED if key not in found]
    if missing:
        raise GatewrightError(f"report {file} lacks {', '.join(missing)}; make it again with gatewright report")
    return dict(found)


def compare_reports(a: dict[str, Any], b: dict[str, Any], names: tuple[str, str]) -> dict[str, Any]:
    """Everything that a page about both shows, as plain data. ``names``: what the two are called."""
    images = _images(a, b)
    return {
        "format": COMPARISON.name,
        "names": list(names),
        "changed": _changed(a, b),
        "figures": _figures(a, b),
        "causes": _causes(a, b),
        "layers": _layers(a, b),
        "images": images,
        "waterfalls": [a["waterfall"], b["waterfall"]],
        "cycles": [[row["cycles_gated"] for row in report["images"]] for report in (a, b)],
        "exits": _rows(a["exits"], b["exits"], ("share", "cycles_mean")),
        "sharing": _rows(a["sharing"], b["sharing"], ("cycles_image", "images_per_second", "latency_mean")),
    }


def _changed(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
    """Fields of the machine, of the network and of the program that differ, by dotted name."""
    flat = [
        {**_flat(one["network"], "network"), **_flat(one["arch"], "arch"), "images": one["summary"]["images"]}
        for one in (a, b)
    ]
    names = dict.fromkeys([*flat[0], *flat[1]])
    return [
        {"name": name, "a": flat[0].get(name), "b": flat[1].get(name)}
        for name in names
        if flat[0].get(name) != flat[1].get(name)
    ]


def _flat(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}.{name}"
        found |= _flat(value, path) if isinstance(value, dict) else {path: value}
    return found


def _figures(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for key, title, unit in FIGURES:
        left, right = a["summary"].get(key), b["summary"].get(key)
        if left is not None or right is not None:
            rows.append({"key": key, "title": title, "unit": unit, "a": left, "b": right, "ratio": _ratio(left, right)})
    return rows


def _ratio(left: float | None, right: float | None) -> float | None:
    return right / left if left and right is not None else None


def _causes(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
    """Mean cycles of a gated run by cause; the sums are those of the runs."""
    left, right = ({row["cause"]: row for row in one["cycles_by_cause"]} for one in (a, b))
    return [
        {
            "cause": cause,
            "title": (left.get(cause) or right[cause])["title"],
            "a": left[cause]["cycles_gated_mean"] if cause in left else 0.0,
            "b": right[cause]["cycles_gated_mean"] if cause in right else 0.0,
        }
        for cause in dict.fromkeys([*left, *right])
    ]


def _layers(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
    """Cycles of each layer, in the order of the first report; None where a network does not have it."""
    left, right = ({row["name"]: row for row in one["layers"]} for one in (a, b))
    return [
        {
            "name": name,
            "kind": (left.get(name) or right[name])["kind"],
            **_of_layer("a", left.get(name)),
            **_of_layer("b", right.get(name)),
        }
        for name in dict.fromkeys([*left, *right])
    ]


def _of_layer(side: str, row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {f"{side}_dense": None, f"{side}_gated": None, f"{side}_bound": None}
    bound = bound_by(row.get("cycles_by_holder_gated_mean", {}))
    return {f"{side}_dense": row["cycles_dense"], f"{side}_gated": row["cycles_gated_mean"], f"{side}_bound": bound}


def _images(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Images that both have run, by their number in the data set."""
    left, right = ({row["index"]: row["cycles_gated"] for row in one["images"]} for one in (a, b))
    both = [index for index in left if index in right]
    ratios = sorted(right[index] / left[index] for index in both)
    return {
        "both": len(both),
        "faster": sum(right[index] < left[index] for index in both),
        "slower": sum(right[index] > left[index] for index in both),
        "least": ratios[0] if ratios else None,
        "median": ratios[len(ratios) // 2] if ratios else None,
        "most": ratios[-1] if ratios else None,
    }


def _rows(left: list[dict[str, Any]], right: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of the same name side by side."""
    ours, theirs = ({row["name"]: row for row in rows} for rows in (left, right))
    return [
        {
            "name": name,
            **{f"a_{key}": ours[name][key] if name in ours else None for key in keys},
            **{f"b_{key}": theirs[name][key] if name in theirs else None for key in keys},
        }
        for name in dict.fromkeys([*ours, *theirs])
    ]
