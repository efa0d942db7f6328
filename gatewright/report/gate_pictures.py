"""Pictures of gates: what decides, how densely, and where on the image."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from gatewright.report.svg import WIDE, Svg, shares_chart

_ROW = 22

RAMP = np.array(
    [(13, 8, 60), (72, 20, 118), (140, 41, 110), (200, 66, 76), (240, 114, 40), (251, 176, 40), (252, 250, 170)],
    np.float64,
)
"""Dark to light, evenly spaced stops of the cost map's colours [7, 3]."""


def channel_picture(gates: list[dict[str, Any]], width: float = WIDE) -> str:
    """One stacked bar per channel gate: always on, input-dependent, always off."""
    rows = [gate for gate in gates if gate["kind"] == "channel"]
    parts = (("always on", "always_on", "on"), ("input-dependent", "input_dependent", "depends"))
    svg, left, plot = _chart("Channels per gate", rows, "share of the gate's channels", width)
    for number, gate in enumerate(rows):
        y, x = 8 + number * _ROW, float(left)
        svg.text(left - 10, y + 14, gate["name"], "label end small")
        for title, key, style in (*parts, ("always off", "always_off", "off")):
            wide = gate[key] * plot
            svg.rect(x, y + 3, wide, _ROW - 7, style, f"{gate['name']}: {gate[key]:.1%} {title}")
            x += wide
        svg.text(left + plot + 10, y + 14, f"{gate['density_mean']:.0%} on", "value small")
    return svg.render()


def spatial_picture(gates: list[dict[str, Any]], width: float = WIDE) -> str:
    """One bar per spatial gate: the mean share of tiles that is computed."""
    rows = [gate for gate in gates if gate["kind"] == "spatial"]
    svg, left, plot = _chart("Mean density per spatial gate", rows, "share of the gate's tiles", width)
    for number, gate in enumerate(rows):
        y = 8 + number * _ROW
        size = f"{gate['grid_height']} by {gate['grid_width']} tiles"
        svg.text(left - 10, y + 14, gate["name"], "label end small")
        hint = f"{gate['name']}, {size}: {gate['density_mean']:.1%} on"
        svg.rect(left, y + 3, gate["density_mean"] * plot, _ROW - 7, "gated", hint)
        svg.text(left + plot + 10, y + 14, f"{gate['density_mean']:.0%} on", "value small")
    return svg.render()


def _chart(title: str, rows: list[dict[str, Any]], axis: str, width: float) -> tuple[Svg, float, float]:
    words = "; ".join(f"{row['name']}: mean density {row['density_mean']:.1%}" for row in rows)
    return shares_chart(title, words, [row["name"] for row in rows], axis, width, _ROW)


def cost_png(cost: list[list[int]], blocks: int) -> str:
    """The cost map as a PNG data URI; ``blocks`` is the top of the colour scale."""
    levels = np.asarray(cost, np.float64) / max(blocks, 1) * (len(RAMP) - 1)
    low = np.minimum(levels.astype(np.int64), len(RAMP) - 2)
    part = (levels - low)[..., None]
    pixels = RAMP[low] * (1 - part) + RAMP[low + 1] * part
    buffer = io.BytesIO()
    Image.fromarray(np.rint(pixels).astype(np.uint8)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def ramp_css() -> str:
    """The same colours as a CSS gradient, for the legend."""
    return "linear-gradient(90deg, " + ", ".join("rgb({:.0f} {:.0f} {:.0f})".format(*stop) for stop in RAMP) + ")"
