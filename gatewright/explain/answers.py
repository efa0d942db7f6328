"""What the figures say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NOTHING = 0.001
"""A share of a run's cycles below which a gain counts as none."""

POOR = 0.5
"""A gate that saves less than this share of the cycles that its MACs would take a full array is named."""


def answers(found: dict[str, Any]) -> list[dict[str, str]]:
    """``topic`` (layers, machines, gates, accesses) and ``text`` of each sentence, in order."""
    topics = (("layers", _layers), ("machines", _machines), ("gates", _gates), ("accesses", _accesses))
    return [{"topic": topic, "text": text} for topic, tell in topics for text in tell(found)]


def _layers(found: dict[str, Any]) -> list[str]:
    total, rows = found["cycles"], found["layers"]
    titles = {row["holder"]: row["title"] for row in found["holders"]}
    held = {name: sum(row["held"][name] for row in rows) for name in titles}
    rest = sorted((name for name in held if name != "array" and held[name] >= NOTHING * total), key=lambda n: -held[n])
    waits = ", ".join(f"{titles[name]} {held[name]:,.0f}" for name in rest)
    texts = [
        f"Of {total:,.0f} cycles an image the array streams {held['array']:,.0f} ({held['array'] / total:.1%}); "
        f"in the others it waits{': ' + waits if waits else ''}."
    ]
    for name in titles:
        own = [row for row in rows if row["bound"] == name]
        if own:
            cycles = sum(row["cycles"] for row in own)
            texts.append(
                f"{_begin(titles[name])} holds most cycles of {_layers_named(own)}: "
                f"{cycles:,.0f} cycles ({cycles / total:.1%})."
            )
    gates = sum(row["cycles"] for row in rows if row["kind"] == "gate")
    if gates:
        texts.append(f"Layers that only serve gates have {gates:,.0f} of the cycles ({gates / total:.1%}).")
    return texts


def _layers_named(rows: Sequence[dict[str, Any]], most: int = 4) -> str:
    names = [row["name"] for row in sorted(rows, key=lambda row: -row["cycles"])]
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{len(names)} layers ({shown}, ...)"


def _machines(found: dict[str, Any]) -> list[str]:
    total, rows = found["cycles"], [row for row in found["machines"] if row["gain"] is not None]
    texts = []
    gains = [row for row in rows if row["more"] and row["gain"] >= NOTHING * total]
    for row in sorted(gains, key=lambda row: -row["gain"]):
        texts.append(
            f"{_begin(row['what'])} ({row['line']}) brings {row['gain']:,.0f} cycles ({row['gain'] / total:.1%})."
        )
    worse = [row for row in rows if row["more"] and row["gain"] <= -NOTHING * total]
    for row in sorted(worse, key=lambda row: row["gain"]):
        texts.append(f"{_begin(row['what'])} ({row['line']}) costs {-row['gain']:,.0f} cycles.")
    nothing = [row["what"] for row in rows if row["more"] and abs(row["gain"]) < NOTHING * total]
    if nothing:
        texts.append(f"Less than {NOTHING:.1%} by: {', '.join(nothing)}.")
    spare = [row for row in rows if not row["more"] and row["gain"] > -NOTHING * total]
    if spare:
        texts.append(f"Could be had for less than {NOTHING:.1%}: {', '.join(row['what'] for row in spare)}.")
    needed = sorted((r for r in rows if not r["more"] and r["gain"] <= -NOTHING * total), key=lambda r: r["gain"])
    if needed:
        listed = ", ".join(f"{row['what']} {-row['gain']:,.0f}" for row in needed)
        texts.append(f"Would cost cycles: {listed}.")
    return texts


def _gates(found: dict[str, Any]) -> list[str]:
    rows = [row for row in found["gates"] if row["saved"] is not None]
    if not found["gates"]:
        return ["The network has no gates."]
    total, texts = found["cycles"], list[str]()
    blocks = [row for row in rows if row["kind"] == "block"] or rows
    keep = sorted((row for row in blocks if row["saved"] >= NOTHING * total), key=lambda row: -row["saved"])
    if keep:
        listed = ", ".join(f"{row['name']} {row['saved']:,.0f}" for row in keep)
        texts.append(f"Worth keeping, with the cycles that each saves while all others stay: {listed}.")
    for row in sorted((row for row in rows if row["saved"] < 0), key=lambda row: row["saved"]):
        several = row["kind"] == "block"
        costs, saves = ("cost", "they save") if several else ("costs", "it saves")
        text = f"{_gate(row)} {costs} {-row['saved']:,.0f} cycles more than {saves}"
        left_out = f", though {row['macs_saved']:,.0f} MACs are left out" if row["macs_saved"] > 0 else ""
        texts.append(f"{text}{left_out}.")
    for row in rows:
        if row["saved"] >= 0 and row["promised"] > 0 and row["saved"] < POOR * row["promised"]:
            texts.append(
                f"{_gate(row)}: {row['macs_saved']:,.0f} MACs are left out, {row['promised']:,.0f} cycles of a full "
                f"array, and {row['saved']:,.0f} of them are saved ({row['saved'] / row['promised']:.0%})"
                + (f"; deciding takes {row['deciding']:,.0f}." if row["deciding"] else ".")
            )
    for row in rows:
        if row["free"] and row["density"]:
            texts.append(
                f"{_gate(row)}: of {row['closed']:,.1f} {row['kind']} that are off {row['free']:,.1f} could be on for "
                "no cycle more."
            )
        elif row["one_less"] is not None and row["one_less"] >= 0 and row["density"] and row["closed"]:
            texts.append(f"{_gate(row)}: one of its {row['kind']} less saves nothing ({row['one_less']:+,.1f} cycles).")
    return texts


def _accesses(found: dict[str, Any]) -> list[str]:
    total, energy = found["accesses"]["total"], found["energy"]
    cells = total["array_cells"]
    texts = [
        f"The array's cells do {cells:,.0f} multiplications as it streams, {total['macs'] / cells:.1%} of them wanted."
    ]
    for name in ("scratchpad", "patch", "weight", "accumulators"):
        each = total["macs"] / max(1, total[f"{name}.read"])
        texts.append(f"A read of {_MEMORIES[name]} serves {each:,.1f} multiplications.")
    if energy:
        named = ", ".join(energy["unnamed"])
        seconds = found["cycles"] / (found["arch"]["clock_mhz"] * 1e6)
        texts.append(
            f"By the table given an image takes {energy['total'] / 1e6:,.3f} microjoules, "
            f"{energy['total'] * 1e-9 / seconds:,.3f} mW at {found['arch']['clock_mhz']} MHz"
            + (f"; the table says nothing of {named}." if named else ".")
        )
    return texts


_MEMORIES = {
    "scratchpad": "the scratchpad",
    "patch": "the patch buffer",
    "weight": "the weight buffer",
    "accumulators": "an accumulator",
}


def _gate(row: dict[str, Any]) -> str:
    return f"The gates of {row['name']}" if row["kind"] == "block" else f"Gate {row['name']}"


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]
