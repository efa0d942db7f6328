"""Pictures of whole runs: the waterfall, where the cycles go, and how the speedup is spread."""

from __future__ import annotations

from typing import Any

from gatewright.report.svg import MINUS, TIMES, Svg, short, ticks

WIDTH = 920


def waterfall_picture(fall: dict[str, Any], images: int) -> str:
    """Rows from the theoretical speedup at the top down to the realised one."""
    steps = [step for step in fall["steps"] if abs(step["speedup_lost"]) >= 5e-4]
    left, right, row, top = 190, 70, 30, 26
    height = top + row * (len(steps) + 2) + 34
    bounds = [
        fall["theoretical"],
        fall["realised"],
        *(s[k] for s in steps for k in ("speedup_before", "speedup_after")),
    ]
    marks = ticks(max(bounds), 6)
    scale = (WIDTH - left - right) / marks[-1]
    svg = Svg(
        WIDTH,
        height,
        "Waterfall from theoretical to realised speedup",
        f"Mean over {images} images: theoretical {fall['theoretical']:.2f}x, realised {fall['realised']:.2f}x. "
        + "; ".join(f"{s['title']} {-s['speedup_lost']:+.3f}x" for s in steps),
    )
    bottom = top + row * (len(steps) + 2)
    for mark in marks:
        svg.line(left + mark * scale, top - 4, left + mark * scale, bottom, "grid")
        svg.text(left + mark * scale, bottom + 16, f"{mark:g}{TIMES}", "tick middle")
    svg.text(left + marks[-1] * scale / 2, bottom + 32, "speedup over the dense run", "axis middle")
    rows: list[tuple[str, float, float, str, str, str]] = [
        (
            "Theoretical",
            0,
            fall["theoretical"],
            "theory",
            f"{fall['theoretical']:.2f}{TIMES}",
            "MAC ratio dense / gated",
        )
    ]
    for step in steps:
        style = "loss" if step["speedup_lost"] > 0 else "gain"
        digits = 2 if abs(step["speedup_lost"]) >= 0.01 else 3
        change = f"{-step['speedup_lost']:+.{digits}f}{TIMES}".replace("-", MINUS)
        hint = f"{step['title']}: {change}, {step['cycles']:+,.0f} cycles an image. {step['meaning']}"
        rows.append((step["title"], step["speedup_before"], step["speedup_after"], style, change, hint))
    realised = f"{fall['realised']:.2f}{TIMES}"
    rows.append(("Realised", 0, fall["realised"], "gated", realised, "dense cycles / gated cycles"))
    for number, (title, begin, end, style, label, hint) in enumerate(rows):
        y = top + row * number
        whole = begin == 0
        svg.text(left - 12, y + 19, title, "label end strong" if whole else "label end")
        low, high = min(begin, end), max(begin, end)
        svg.rect(left + low * scale, y + 5, max((high - low) * scale, 1.5), row - 10, style, hint)
        if number + 1 < len(rows):
            svg.line(left + end * scale, y + row - 5, left + end * scale, y + row + 5, "link")
        svg.text(left + high * scale + 8, y + 19, label, "value strong" if whole else "value")
    return svg.render()


def cause_picture(causes: list[dict[str, Any]]) -> str:
    """Two stacked bars, dense and gated, on one scale of cycles."""
    left, right, bar, top = 70, 90, 40, 8
    sides = (("Dense", "cycles_dense"), ("Gated", "cycles_gated_mean"))
    totals = [sum(cause[key] for cause in causes) for _, key in sides]
    marks = ticks(max(totals), 6)
    scale = (WIDTH - left - right) / marks[-1]
    bottom = top + 2 * (bar + 14)
    svg = Svg(
        WIDTH,
        bottom + 36,
        "Cycles by cause",
        "; ".join(
            f"{name} {total:,.0f} cycles: " + ", ".join(f"{c['title']} {c[key] / total:.1%}" for c in causes)
            for (name, key), total in zip(sides, totals, strict=True)
        ),
    )
    for mark in marks:
        svg.line(left + mark * scale, top, left + mark * scale, bottom, "grid")
        svg.text(left + mark * scale, bottom + 16, short(mark), "tick middle")
    svg.text(left + marks[-1] * scale / 2, bottom + 33, "cycles per image", "axis middle")
    for number, ((name, key), total) in enumerate(zip(sides, totals, strict=True)):
        y, x = top + 7 + number * (bar + 14), float(left)
        svg.text(left - 12, y + bar / 2 + 5, name, "label end strong")
        for position, cause in enumerate(causes):
            width = cause[key] * scale
            hint = f"{cause['title']}: {cause[key]:,.0f} cycles, {cause[key] / total:.1%} of the {name.lower()} run"
            if width > 0:
                svg.rect(x, y, width, bar, f"cause c{position}", hint)
            if width > 46:
                svg.text(x + width / 2, y + bar / 2 + 5, f"{cause[key] / total:.0%}", f"inside middle i{position}")
            x += width
        svg.text(x + 8, y + bar / 2 + 5, short(total), "value strong")
    return svg.render()


def histogram_picture(theoretical: list[float], realised: list[float]) -> str:
    """Two histograms over the same bins of speedup, one above the other."""
    left, right, plot, gap, top = 60, 20, 110, 34, 22
    high = max(max(theoretical), max(realised))
    low = min(min(theoretical), min(realised))
    bins = min(40, max(8, round(len(realised) ** 0.5 * 2)))
    span = (high - low) or 1.0
    low, high = low - 0.02 * span, high + 0.02 * span
    scale = (WIDTH - left - right) / (high - low)
    height = top + 2 * plot + gap + 40
    svg = Svg(
        WIDTH,
        height,
        "Distribution of the speedup over images",
        f"Theoretical from {min(theoretical):.2f}x to {max(theoretical):.2f}x, "
        f"realised from {min(realised):.2f}x to {max(realised):.2f}x, {len(realised)} images.",
    )
    rows = (("Theoretical", theoretical, "theory"), ("Realised", realised, "gated"))
    counts = [_counts(values, low, high, bins) for _, values, _ in rows]
    marks = ticks(max(max(c) for c in counts), 3)
    for number, (name, values, style) in enumerate(rows):
        base = top + plot + number * (plot + gap)
        for mark in marks:
            y = base - mark / marks[-1] * plot
            svg.line(left, y, WIDTH - right, y, "grid")
            svg.text(left - 8, y + 4, f"{mark:g}", "tick end")
        width = (WIDTH - left - right) / bins
        for position, count in enumerate(counts[number]):
            tall = count / marks[-1] * plot
            begin = low + position * (high - low) / bins
            hint = f"{name} {begin:.2f}{TIMES} to {begin + (high - low) / bins:.2f}{TIMES}: {count} images"
            if count:
                svg.rect(left + position * width + 1, base - tall, max(width - 2, 1), tall, style, hint)
        mean = sum(values) / len(values)
        x = left + (mean - low) * scale
        svg.line(x, base - plot - 6, x, base, "mean")
        side, shift = ("end", -6) if x > WIDTH * 0.75 else ("", 6)
        svg.text(x + shift, base - plot - 8, f"{name}: mean {mean:.2f}{TIMES}", f"value strong {side}")
    base = top + 2 * plot + gap
    for mark in ticks(high, 12):
        if low <= mark <= high:
            svg.text(left + (mark - low) * scale, base + 16, f"{mark:g}{TIMES}", "tick middle")
    svg.text((left + WIDTH - right) / 2, base + 34, "speedup over the dense run", "axis middle")
    svg.text(14, top + plot + gap / 2, "images", "axis middle", -90)
    return svg.render()


def _counts(values: list[float], low: float, high: float, bins: int) -> list[int]:
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return counts
