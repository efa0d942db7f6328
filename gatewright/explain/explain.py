"""Everything that is found out about a network on a machine, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gatewright import flow
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.contract.arch import ArchConfig
from gatewright.contract.formats import EXPLANATION
from gatewright.explain.answers import answers
from gatewright.explain.gates import GateWorth, gate_worths
from gatewright.explain.machines import Change, changes
from gatewright.explain.variation import Case, Outcome, Runner, Variation
from gatewright.measure.accesses import Accesses, EnergyTable
from gatewright.measure.bounds import HOLDER_MEANINGS, HOLDER_TITLES, Holder, bound_by
from gatewright.measure.records import RunRecord
from gatewright.models.datasets.images import ImageSet
from gatewright.sim.counts.ports import ACCESSES, WORD_OF

UNITS: dict[str, str] = {
    **dict.fromkeys(("cycles", "gain", "saved", "promised", "deciding", "cycles_open", "cycles_without"), "cycles"),
    **dict.fromkeys(("one_more", "one_less", *Holder), "cycles"),
    **dict.fromkeys(("closed", "free"), "channels or tiles"),
    "macs_saved": "MACs",
    "density": "fraction",
    "peak_macs": "MACs per cycle",
    **dict.fromkeys(("pj", "total", "by_access"), "picojoules"),
}
"""Of an image, means over images; accesses are counts, whose words stand beside them."""


def explain(
    network: flow.Network,
    arch: ArchConfig,
    images: ImageSet,
    live: bool = False,
    energy: EnergyTable | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Run the network as it is, on other machines, and without each of its gates; what that says.

    Every run's results are compared with the integer reference's. ``live``: one program for all images. Without an
    ``energy`` table there is none.
    """
    evaluation = flow.evaluate(network, images)
    runs = [record.run for record in flow.run_images(network, arch, images, evaluation, workers, live)]
    decisions = tuple(evaluation.decisions(number) for number in range(len(images)))
    with Runner(Case(network.graph, evaluation.inputs, decisions, live), workers) as runner:
        tried = list(changes(arch))
        known = [Variation(arch), *(Variation(change.arch) for change in tried if change.arch is not None)]
        base, *others = runner.run("machines", known)
        if base.cycles != tuple(run.cycles for run in runs):
            raise AssertionError(f"cycles with gates held, {base.cycles}, are not those of the gates' own decisions")
        worths = gate_worths(runner, arch, base)
        accesses = runner.accesses(arch)
    found: dict[str, Any] = {
        "format": EXPLANATION.name,
        "network": network.name,
        "arch": arch.to_dict(),
        "images": len(images),
        "live": live,
        "cycles": base.mean,
        "peak_macs": arch.peak_macs,
        "holders": [
            {"holder": str(holder), "title": HOLDER_TITLES[holder], "meaning": HOLDER_MEANINGS[holder]}
            for holder in Holder
        ],
        "layers": layers(runs),
        "machines": _machines(tried, others, base),
        "gates": [_gate(worth, arch.peak_macs, network.graph) for worth in worths],
    }
    found["accesses"] = _accesses(accesses)
    found["energy"] = None if energy is None else _energy(energy, found["accesses"])
    found["units"] = UNITS
    found["answers"] = answers(found)
    return found


def layers(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """A row for each layer: its cycles, who held them, and who held the most; means over images."""
    names = dict.fromkeys(layer.name for run in runs for layer in run.layers)
    rows = []
    for name in names:
        own = [layer for run in runs for layer in run.layers if layer.name == name]
        held = {str(h): sum(layer.held.get(h, 0) for layer in own) / len(runs) for h in Holder}
        cycles = sum(layer.cycles for layer in own) / len(runs)
        rows.append({"name": name, "kind": own[0].kind, "cycles": cycles, "bound": bound_by(held), "held": held})
    return rows


def _accesses(images: Sequence[Accesses]) -> dict[str, Any]:
    """Means over images: of each layer and in sum."""
    names = dict.fromkeys(layer for image in images for layer in image)
    none = dict.fromkeys(ACCESSES, 0)
    rows: list[dict[str, Any]] = [
        {"name": layer, **{a: sum(image.get(layer, none)[a] for image in images) / len(images) for a in ACCESSES}}
        for layer in names
    ]
    total = {access: sum(row[access] for row in rows) for access in ACCESSES}
    return {"words": WORD_OF, "layers": rows, "total": total}


def _energy(table: EnergyTable, accesses: dict[str, Any]) -> dict[str, Any]:
    """In picojoules of an image."""
    return {
        "pj": table.per_access,
        "unnamed": table.unnamed,
        "total": table.of(accesses["total"]),
        "by_access": {name: cost * accesses["total"][name] for name, cost in table.per_access.items()},
        "layers": [{"name": row["name"], "pj": table.of(row)} for row in accesses["layers"]],
    }


def _machines(tried: Sequence[Change], outcomes: Sequence[Outcome], base: Outcome) -> list[dict[str, Any]]:
    rows, left = [], iter(outcomes)
    for change in tried:
        outcome = Outcome(refused=change.refused) if change.arch is None else next(left)
        cycles = None if outcome.refused is not None else outcome.mean
        rows.append(
            {
                "more": change.more,
                "what": change.what,
                "line": change.line,
                "cycles": cycles,
                "gain": None if cycles is None else base.mean - cycles,
                "refused": outcome.refused,
            }
        )
    return rows


def _gate(worth: GateWorth, peak: int, graph: QuantisedGraph) -> dict[str, Any]:
    steps = worth.steps
    macs = worth.macs_saved
    return {
        "name": worth.group.name,
        "kind": worth.kind,
        "layers": list(worth.group.layers),
        "density": worth.density,
        "closed": worth.closed,
        "cycles_open": None if worth.opened.refused is not None else worth.opened.mean,
        "cycles_without": None if worth.without.refused is not None else worth.without.mean,
        "saved": worth.saved,
        "deciding": worth.deciding,
        "macs_saved": macs,
        "promised": None if macs is None else macs / peak,
        "one_more": None if steps is None or not worth.closed else _step(steps.on, worth.base),
        "one_less": None if steps is None or not worth.density else _step(steps.off, worth.base),
        "free": None if steps is None else steps.free,
        "refused": worth.without.refused or worth.opened.refused,
    }


def _step(outcome: Outcome, base: Outcome) -> float | None:
    return None if outcome.refused is not None else float(np.mean(np.subtract(outcome.cycles, base.cycles)))
