"""Two reports side by side: as text, and as one HTML file that needs nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any

from markupsafe import Markup

from gatewright.report.html import render
from gatewright.report.pictures import Ends, Step, bridge_picture, distribution_picture, waterfall_picture
from gatewright.report.svg import MINUS, cut, fitted

NAME = 20
"""Letters of a report's name that are shown."""

SHOWN_LAYERS = 12
"""Layers of the text: those whose cycles differ most."""


def render_comparison(found: dict[str, Any]) -> str:
    """The page for what ``compare_reports`` has made."""
    (a, b), cycles = found["names"], found["cycles"]
    rows = ((cut(a, NAME), list(map(float, cycles[0])), "theory"), (cut(b, NAME), list(map(float, cycles[1])), "gated"))
    pictures = {
        "causes": Markup(fitted(partial(_causes_picture, found))),
        "waterfalls": [
            Markup(fitted(partial(waterfall_picture, fall, len(own))))
            for fall, own in zip(found["waterfalls"], cycles, strict=True)
        ],
        "spread": Markup(fitted(partial(distribution_picture, "Cycles over images", rows, "cycles an image", ""))),
    }
    return render("comparison.html", found=found, headline=headline(found), pictures=pictures)


def headline(found: dict[str, Any]) -> str:
    """The comparison in a sentence."""
    a, b = found["names"]
    figures = {row["key"]: row for row in found["figures"]}
    cycles = figures["cycles_gated_mean"]
    if cycles["a"] == cycles["b"]:
        return f"{b} takes the cycles of {a}: {cycles['a']:,.0f} an image."
    more = "more" if cycles["b"] > cycles["a"] else "fewer"
    return (
        f"{b} takes {abs(cycles['b'] - cycles['a']):,.0f} cycles an image {more} than {a}: {cycles['b']:,.0f} and "
        f"{cycles['a']:,.0f}, {cycles['b'] / cycles['a'] - 1:+.2%}."
    )


def _causes_picture(found: dict[str, Any], width: float) -> str:
    names, causes = found["names"], found["causes"]
    begin, end = sum(row["a"] for row in causes), sum(row["b"] for row in causes)
    value, steps = begin, list[Step]()
    for row in causes:
        change = row["b"] - row["a"]
        if abs(change) >= 0.5:
            label = f"{change:+,.0f}".replace("-", MINUS)
            steps.append(
                Step(row["title"], value, value + change, label, f"{row['a']:,.0f} and {row['b']:,.0f} cycles")
            )
        value += change
    return bridge_picture(
        f"Cycles of {names[0]} and {names[1]}, cause by cause",
        f"{names[0]} {begin:,.0f}, {names[1]} {end:,.0f} cycles an image; "
        + "; ".join(f"{step.title} {step.label}" for step in steps),
        Ends(
            (cut(names[0], NAME), "theory", f"{begin:,.0f}", f"{names[0]}: mean cycles of a gated image"),
            (cut(names[1], NAME), "gated", f"{end:,.0f}", f"{names[1]}: mean cycles of a gated image"),
            begin,
            end,
        ),
        steps,
        "cycles an image",
        "",
        width,
        more_is_loss=True,
    )


def comparison_text(found: dict[str, Any]) -> str:
    """What is different, the figures, and the layers whose cycles differ most."""
    a, b = found["names"]
    lines = [headline(found), ""]
    lines += [f"{row['name']}: {row['a']} -> {row['b']}" for row in found["changed"]] or ["machine, network: the same"]
    lines += ["", f"{'':<40}{cut(a, NAME):>26}{cut(b, NAME):>26}{'ratio':>10}"]
    for row in found["figures"]:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.4f}"
        lines.append(f"{row['title']:<40}{_figure(row, 'a'):>26}{_figure(row, 'b'):>26}{ratio:>10}")
    images = found["images"]
    if images["both"]:
        lines += [
            "",
            f"images in both: {images['both']}, {images['faster']} faster, {images['slower']} slower; second by "
            f"first {images['least']:.4f} to {images['most']:.4f}, median {images['median']:.4f}",
        ]
    both = [row for row in found["layers"] if row["a_gated"] is not None and row["b_gated"] is not None]
    different = sorted((row for row in both if row["a_gated"] != row["b_gated"]), key=_difference)
    if different:
        lines += ["", f"{'layers that differ most':<40}{'cycles':>26}{'cycles':>26}{'change':>10}"]
    for row in different[:SHOWN_LAYERS]:
        change = row["b_gated"] - row["a_gated"]
        lines.append(f"{row['name']:<40}{row['a_gated']:>26,.0f}{row['b_gated']:>26,.0f}{change:>+10,.0f}")
    return "\n".join(lines)


def _difference(row: dict[str, Any]) -> float:
    return -abs(float(row["b_gated"]) - float(row["a_gated"]))


def _figure(row: dict[str, Any], side: str) -> str:
    value = row[side]
    if value is None:
        return "-"
    if row["unit"] == "fraction":
        return f"{value:.2%}"
    return f"{value:.3f}" if row["unit"] == "ratio" else f"{value:,.0f}"
