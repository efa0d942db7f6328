"""Pictures of layers: cycles side by side, and the roofline."""

from __future__ import annotations

import math
from typing import Any

from gatewright.report.svg import NARROW, WIDE, Svg, short, ticks


def layer_picture(layers: list[dict[str, Any]]) -> str:
    """A pair of bars per layer, in order of execution; wide networks scroll."""
    left, right, top, plot = 60, 20, 16, 230
    foot = 28 + 5.8 * max(len(layer["name"]) for layer in layers)  # names stand at 55 degrees
    pitch = max(19.0, (WIDE - left - right) / max(len(layers), 1))
    width = left + right + pitch * len(layers)
    marks = ticks(max(max(layer["cycles_dense"], layer["cycles_gated_mean"]) for layer in layers), 5)
    svg = Svg(
        width,
        top + plot + foot,
        "Cycles per layer, dense and gated",
        "; ".join(f"{r['name']}: {r['cycles_dense']:,} dense, {r['cycles_gated_mean']:,.0f} gated" for r in layers),
    )
    base = top + plot
    for mark in marks:
        y = base - mark / marks[-1] * plot
        svg.line(left, y, width - right, y, "grid")
        svg.text(left - 8, y + 4, short(mark), "tick end")
    bar = min(14.0, pitch * 0.36)
    for number, row in enumerate(layers):
        middle = left + pitch * (number + 0.5)
        for side, (name, key, style) in enumerate(
            (("dense", "cycles_dense", "dense"), ("gated, mean", "cycles_gated_mean", f"gated kind-{row['kind']}"))
        ):
            tall = row[key] / marks[-1] * plot
            hint = f"{row['name']} ({row['kind']}), {name}: {row[key]:,.0f} cycles"
            svg.rect(middle - bar + side * bar, base - tall, bar - 0.5, tall, style, hint)
        svg.text(middle + 4, base + 12, row["name"], "tick end", -55)
    svg.text(16, top + plot / 2, "cycles per image", "axis middle", -90)
    return svg.render(natural=width > WIDE)


def roofline_picture(layers: list[dict[str, Any]], roof: dict[str, float], width: float = WIDE) -> str:
    """Layers as points under the array's peak and the DRAM's slope, both axes logarithmic."""
    peak, bandwidth = roof["peak_macs"], roof["dram_bytes_per_cycle"]
    points = []
    for row in layers:
        for side, suffix in (("dense", "dense"), ("gated", "gated_mean")):
            macs, size, cycles = (row[f"{key}_{suffix}"] for key in ("macs", "dram_bytes", "cycles"))
            if macs and size and cycles:
                points.append((row["name"], side, macs / size, macs / cycles))
    ridge = peak / bandwidth
    x_low, x_high = _decades([p[2] for p in points] + [ridge / 4, ridge * 4])
    y_low, y_high = _decades([p[3] for p in points] + [peak / 50, peak * 1.2])
    left, right, top, plot = 70, 24, 18, 330
    svg = Svg(
        width,
        top + plot + 52,
        "Roofline",
        f"Peak {peak} MACs per cycle, DRAM {bandwidth:g} bytes per cycle, ridge at {ridge:.1f} MACs per byte; "
        f"{len(points)} points.",
    )

    def x_of(value: float) -> float:
        return left + (math.log10(value) - x_low) / (x_high - x_low) * (width - left - right)

    def y_of(value: float) -> float:
        return top + plot - (math.log10(value) - y_low) / (y_high - y_low) * plot

    for mark in _log_marks(x_low, x_high, width <= NARROW):
        svg.line(x_of(mark), top, x_of(mark), top + plot, "grid")
        svg.text(x_of(mark), top + plot + 18, short(mark), "tick middle")
    for mark in _log_marks(y_low, y_high, False):
        svg.line(left, y_of(mark), width - right, y_of(mark), "grid")
        svg.text(left - 8, y_of(mark) + 4, short(mark), "tick end")
    foot = max(10**x_low, 10**y_low / bandwidth)
    svg.polyline(
        [(x_of(foot), y_of(foot * bandwidth)), (x_of(ridge), y_of(peak)), (x_of(10**x_high), y_of(peak))], "roof"
    )
    svg.text(width - right - 4, y_of(peak) - 7, f"array peak, {peak} MACs per cycle", "value end strong")
    slope = f"DRAM, {bandwidth:g} bytes per cycle"
    middle = math.sqrt(foot * ridge)
    angle = math.degrees(math.atan2(y_of(peak) - y_of(foot * bandwidth), x_of(ridge) - x_of(foot)))
    if width <= NARROW:  # the slope is too short to be written along
        svg.text(width - right - 4, top + plot - 10, f"slope: {slope}", "value end")
    else:
        svg.text(x_of(middle), y_of(middle * bandwidth) - 8, slope, "value middle", angle)
    for name, side, intensity, rate in points:
        hint = f"{name}, {side}: {intensity:.1f} MACs per byte, {rate:.0f} MACs per cycle ({rate / peak:.0%} of peak)"
        svg.circle(x_of(intensity), y_of(rate), 5, f"point {side}", hint)
    svg.text((left + width - right) / 2, top + plot + 44, "useful MACs per byte read from DRAM", "axis middle")
    svg.text(18, top + plot / 2, "useful MACs per cycle", "axis middle", -90)
    return svg.render()


def _decades(values: list[float]) -> tuple[float, float]:
    """The logarithmic range that holds all values, with a little air."""
    return math.log10(min(values)) - 0.08, math.log10(max(values)) + 0.08


def _log_marks(low: float, high: float, few: bool) -> list[float]:
    """1, 2 and 5 of every decade inside the range; only 1 if there are many decades, or room for ``few``."""
    steps = (1, 2, 5) if high - low <= 3 and not few else (1,)
    every = [m * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for m in steps]
    return [value for value in every if low <= math.log10(value) <= high]
