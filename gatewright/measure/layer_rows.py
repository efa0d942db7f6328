"""Per-layer figures, dense beside the mean over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gatewright.measure.causes import Cause, fold
from gatewright.measure.records import LayerRecord, RunRecord


def layer_rows(dense: RunRecord, runs: Sequence[RunRecord], kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row per layer in order of execution; a layer that a run lacks counts as zeros there.

    Utilisation is useful MACs / (cycles * peak), of the mean run for the gated side, and 0 for a
    layer that takes no time.
    """
    dense_layers = {layer.name: layer for layer in dense.layers}
    gated_layers = [{layer.name: layer for layer in run.layers} for run in runs]
    rows = []
    for name in _order([layer.name for layer in dense.layers], [list(layers) for layers in gated_layers]):
        empty = LayerRecord(name, kinds[name], 0, 0, 0, 0, 0, {})
        before = dense_layers.get(name, empty)
        after = [layers.get(name, empty) for layers in gated_layers]
        row: dict[str, Any] = {"name": name, "kind": kinds[name]}
        for key in ("cycles", "macs", "dram_bytes", "dram_cycles", "array_cycles"):
            row[f"{key}_dense"] = getattr(before, key)
            row[f"{key}_gated_mean"] = float(np.mean([getattr(layer, key) for layer in after]))
        row["utilisation_dense"] = _share(row["macs_dense"], row["cycles_dense"] * dense.peak)
        row["utilisation_gated_mean"] = _share(row["macs_gated_mean"], row["cycles_gated_mean"] * dense.peak)
        row["cycles_by_cause_dense"] = _by_cause([before], kinds[name], dense.peak)
        row["cycles_by_cause_gated_mean"] = _by_cause(after, kinds[name], dense.peak)
        row["cycles_by_holder_dense"] = _by_holder([before])
        row["cycles_by_holder_gated_mean"] = _by_holder(after)
        rows.append(row)
    return rows


def _by_holder(layers: Sequence[LayerRecord]) -> dict[str, float]:
    """Cycles by who had them; the sum is the layer's."""
    names = dict.fromkeys(holder for layer in layers for holder in layer.held)
    return {str(name): sum(layer.held.get(name, 0) for layer in layers) / len(layers) for name in names}


def _order(dense: Sequence[str], runs: Sequence[Sequence[str]]) -> list[str]:
    """The dense run's layers; those that only gated runs have go behind their predecessor there."""
    order = list(dense)
    for names in dict.fromkeys(tuple(names) for names in runs):
        for number, name in enumerate(names):
            if name not in order:
                order.insert(order.index(names[number - 1]) + 1 if number else 0, name)
    return order


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _by_cause(layers: Sequence[LayerRecord], kind: str, peak: int) -> dict[str, float]:
    total: dict[Cause, int] = {}
    for layer in layers:
        for cause, slots in layer.parts.items():
            folded = fold(kind, cause)
            total[folded] = total.get(folded, 0) + slots
    return {str(cause): total[cause] / len(layers) / peak for cause in Cause if cause in total}
