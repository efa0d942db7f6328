"""The report as one HTML file that needs nothing else: no network, no scripts, no fonts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from gatewright.report.block_pictures import block_picture, strip_picture
from gatewright.report.class_pictures import BEYOND_CHANCE, FEW, class_picture, class_title, framed
from gatewright.report.gate_pictures import channel_picture, cost_png, ramp_css, spatial_picture
from gatewright.report.holder_picture import holder_picture
from gatewright.report.layer_pictures import layer_picture, roofline_picture
from gatewright.report.pictures import cause_picture, histogram_picture, waterfall_picture
from gatewright.report.svg import MINUS, TIMES, fitted

TABLE_IMAGES = 64
"""Images listed in the page's table; the JSON has all of them."""


def render_html(report: dict[str, Any]) -> str:
    """The page for a report made by ``build_report``."""
    pictures = {name: Markup(picture) for name, picture in _pictures(report).items()}  # our own markup, escaped
    maps = [_card(report, entry) for entry in report["maps"]]
    return render(
        "report.html",
        filters={"class_title": partial(class_title, report["class_names"])},
        report=report,
        summary=report["summary"],
        pictures=pictures,
        maps=maps,
        mapped=next((entry["blocks"] for entry in maps if entry["cost"] is not None), None),
        by_class=None if report["by_class"] is None else _of_classes(report["by_class"]),
        ramp=Markup(ramp_css()),
        table_images=report["images"][:TABLE_IMAGES],
        classifies=all(row["predicted_int8"] is not None for row in report["images"]),
        alike=sum(row["predicted_float"] == row["predicted_int8"] for row in report["images"]),
        largest_steps=_largest_steps(report["waterfall"]["steps"]),
    )


def render(name: str, filters: Mapping[str, Callable[..., str]] = MappingProxyType({}), **values: Any) -> str:
    """A page from its template, which may include others, with the style of all pages and filters of its own."""
    files = resources.files("gatewright.report")
    loader = FunctionLoader(lambda file: (files / file).read_text("utf-8"))
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(number=_number, signed=_signed, percent=_percent, times=_times, size=_size, **filters)
    style = Markup((files / "report.css").read_text("utf-8"))  # our own
    return environment.get_template(name).render(style=style, **values)


def _pictures(report: dict[str, Any]) -> dict[str, str]:
    kinds = {gate["kind"] for gate in report["gates"]}
    images = report["images"]
    theoretical, realised = ([row[f"speedup_{key}"] for row in images] for key in ("theoretical", "realised"))
    found = {
        "waterfall": fitted(partial(waterfall_picture, report["waterfall"], len(images))),
        "causes": fitted(partial(cause_picture, report["cycles_by_cause"])),
        "histogram": fitted(partial(histogram_picture, theoretical, realised)),
        "layers": layer_picture(report["layers"]),
        "roofline": fitted(partial(roofline_picture, report["layers"], report["roofline"])),
    }
    if report["explanation"] is not None:
        found["holders"] = fitted(partial(holder_picture, report["explanation"]))
    if "channel" in kinds:
        found["channels"] = fitted(partial(channel_picture, report["gates"]))
    if "spatial" in kinds:
        found["spatial"] = fitted(partial(spatial_picture, report["gates"]))
    if report["blocks"]:
        found["blocks"] = fitted(partial(block_picture, report["blocks"]))
    for rows in ("gates", "exits"):
        if report["by_class"] and report["by_class"][rows]:
            found[f"{rows}_by_class"] = fitted(partial(class_picture, report, rows))
    return found


def _card(report: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """An easy or hard image with its figures, and with its cost map or else its work by block."""
    image, blocks = _image_of(report, entry["index"]), report["blocks"]
    found = {**entry, "image": image, "leaves": ""}
    if image["exit"] is not None:
        found["leaves"] = next(row["name"] for row in report["exits"] if row["exit"] == image["exit"])
    if entry["cost"] is not None:
        return {**found, "cost_png": cost_png(entry["cost"], entry["blocks"])}
    shares = [macs / block["macs_dense"] for macs, block in zip(image["macs_by_block"], blocks, strict=True)]
    return {**found, "strip": Markup(strip_picture(entry["index"], [block["name"] for block in blocks], shares))}


def _of_classes(by_class: dict[str, Any]) -> dict[str, Any]:
    """What is said about the pictures by class. Rows that are alike for all images say nothing about classes."""
    rows, counts = by_class["gates"] + by_class["exits"], [one["images"] for one in by_class["classes"]]
    varying = [row for row in rows if row["between_classes_by_chance"]]
    framed_cells, cells = framed(rows)
    return {
        "title": "Gates by class" if by_class["gates"] else "Exits by class",
        "classes": len(counts),
        "beyond": BEYOND_CHANCE,
        "framed": framed_cells,
        "cells": cells,
        "few": FEW,
        "with_few": sum(count < FEW for count in counts),
        "varying": len(varying),
        "between": float(np.mean([row["between_classes"] for row in varying])) if varying else 0.0,
        "by_chance": float(np.mean([row["between_classes_by_chance"] for row in varying])) if varying else 0.0,
        "most": max(varying, key=_beyond_chance, default=None),
    }


def _beyond_chance(row: dict[str, Any]) -> float:
    return float(row["between_classes"] - row["between_classes_by_chance"])


def _largest_steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Up to three steps that cost the most speedup, largest first."""
    losses = [step for step in steps if step["speedup_lost"] > 0]
    return sorted(losses, key=lambda step: -float(step["speedup_lost"]))[:3]


def _image_of(report: dict[str, Any], index: int) -> dict[str, Any]:
    return next(row for row in report["images"] if row["index"] == index)


def _number(value: float) -> str:
    """Thousands separated by thin spaces, no decimals."""
    return f"{value:,.0f}".replace(",", "\u202f")


def _signed(value: float) -> str:
    """A difference, with its sign."""
    return f"{round(value):+,d}".replace(",", "\u202f").replace("-", MINUS)


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}\u202f%"


def _times(value: float) -> str:
    return f"{value:.2f}{TIMES}"


def _size(value: float) -> str:
    """Bytes as B, KiB or MiB."""
    for limit, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= limit:
            return f"{value / limit:.1f}\u202f{unit}"
    return f"{value:.0f}\u202fB"
