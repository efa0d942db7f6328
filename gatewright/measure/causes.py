"""The causes that cycles are attributed to, and how layers of each kind fold into them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Cause(StrEnum):
    """Why the array spent a cycle as it did."""

    USEFUL = "useful"
    LANES = "lane_rounding"
    STATIONARY = "stationary_loads"
    PIPELINE = "pipeline"
    INDEX = "index_building"
    GATE = "gate_evaluation"
    DRAM = "dram_stalls"
    DISPATCH = "dispatch"
    UNGATED = "ungated_layers"


TITLES: dict[Cause, str] = {
    Cause.USEFUL: "Useful MACs",
    Cause.LANES: "Lane rounding",
    Cause.STATIONARY: "Stationary loads",
    Cause.PIPELINE: "Pipeline fill and drain",
    Cause.INDEX: "Index building",
    Cause.GATE: "Gate evaluation",
    Cause.DRAM: "DRAM stalls",
    Cause.DISPATCH: "Instruction dispatch",
    Cause.UNGATED: "Ungated layers",
}

MEANINGS: dict[Cause, str] = {
    Cause.USEFUL: "Cycles in which the whole array multiplies real operands: MACs divided by the peak.",
    Cause.LANES: "The array streams, but part of its rows or columns hold padding or work that is not counted.",
    Cause.STATIONARY: "The array waits for its stationary operand, or for the least distance of two accumulations.",
    Cause.PIPELINE: "The array waits for the gather, the epilogue or its own drain between two layers or chunks.",
    Cause.INDEX: "The array waits while masks are turned into index tables.",
    Cause.GATE: "All other time of the gates' own layers: their MACs, reductions and thresholds.",
    Cause.DRAM: "The array waits for weights, parameters, the image or instructions, or for the result's way out.",
    Cause.DISPATCH: "The array waits for the sequencer to hand out instructions or to change pages.",
    Cause.UNGATED: "Everything but useful work in the layers that no gate touches: stem, shortcuts, classifier.",
}

KINDS = ("gated", "ungated", "gate", "control")


def fold(kind: str, cause: Cause) -> Cause:
    """The cause under which a layer of this kind reports a cycle.

    Index building keeps its name in a gate's layer; the rest of a gate is gate evaluation. In an
    ungated layer everything but useful work is the ungated layers'.
    """
    if kind not in KINDS:
        raise ValueError(f"layer kind {kind!r} is none of {', '.join(KINDS)}")
    if kind == "gate":
        return cause if cause == Cause.INDEX else Cause.GATE
    if kind == "ungated":
        return cause if cause == Cause.USEFUL else Cause.UNGATED
    return cause


def fold_layers(layers: Mapping[str, Mapping[Cause, int]], kinds: Mapping[str, str]) -> dict[Cause, int]:
    """Sum the parts of all layers by folded cause; every cause is a key of the result."""
    total = dict.fromkeys(Cause, 0)
    for name, parts in layers.items():
        for cause, slots in parts.items():
            total[fold(kinds[name], cause)] += slots
    return total
