"""Which gates are worth keeping: each is run as it is, open, left out, and with one channel or tile more or less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.contract.arch import ArchConfig
from gatewright.explain.variation import Case, Outcome, Runner, Variation


@dataclass(frozen=True)
class GateGroup:
    """One gate, or all gates of a block, which decide about the same layers."""

    name: str
    gates: tuple[str, ...]
    layers: tuple[str, ...]
    """The layers that they decide about."""


def gate_groups(graph: QuantisedGraph) -> list[GateGroup]:
    """Every gate by itself, in order, each block's behind its own: what shares a layer is of a block."""
    gates = [layer.name for layer in graph.layers if isinstance(layer, QuantisedGate)]
    users = {gate: tuple(layer.name for layer in graph.layers if gate in layer.gates) for gate in gates}
    found, block = list[GateGroup](), list[str]()
    for number, gate in enumerate(gates):
        found.append(GateGroup(gate, (gate,), users[gate]))
        block.append(gate)
        following = gates[number + 1] if number + 1 < len(gates) else None
        if following is None or not set(users[gate]) & set(users[following]):
            if len(block) > 1:
                layers = dict.fromkeys(layer for one in block for layer in users[one])
                found.append(GateGroup(_common(block), tuple(block), tuple(layers)))
            block = []
    return found


def _common(names: Sequence[str]) -> str:
    """What dotted names begin with."""
    parts = [name.split(".") for name in names]
    same = next((n for n in range(min(map(len, parts))) if len({p[n] for p in parts}) > 1), min(map(len, parts)))
    return ".".join(parts[0][:same]) or " + ".join(names)


@dataclass(frozen=True)
class Steps:
    """A gate with one channel or tile more on in each image that has one off, and with one less.

    ``free``: so many more could be on, in the mean over images, for no cycle more.
    """

    on: Outcome
    off: Outcome
    free: float


@dataclass(frozen=True)
class GateWorth:
    """A group of gates, with all other gates held: means over images.

    ``density``: the share of its channels or tiles that is on, ``closed`` how many are off. ``opened``: it decides that
    all is on. ``without``: the network does not have it. ``steps`` is None for a block.
    """

    group: GateGroup
    kind: str
    density: float
    closed: float
    base: Outcome
    opened: Outcome
    without: Outcome
    steps: Steps | None

    @property
    def saved(self) -> float | None:
        """Cycles that the network without it takes more; None where it cannot be compiled."""
        return None if self.without.refused is not None else self.without.mean - self.base.mean

    @property
    def macs_saved(self) -> float | None:
        """MACs that the network without it counts more."""
        return None if self.without.refused is not None else self.without.mean_macs - self.base.mean_macs

    @property
    def deciding(self) -> float | None:
        """Cycles that the decision takes where it leaves nothing out."""
        if self.without.refused is not None or self.opened.refused is not None:
            return None
        return self.opened.mean - self.without.mean


def gate_worths(runner: Runner, arch: ArchConfig, base: Outcome) -> list[GateWorth]:
    """Run the network with each gate, and with each block's gates, in all these ways."""
    case = runner.case
    groups = [group for group in gate_groups(case.graph) if _seen(case, group)]
    variations = [v for g in groups for v in (Variation(arch, opened=g.gates), Variation(arch, without=g.gates))]
    outcomes = runner.run("gates", variations)
    steps = gate_steps(runner, arch, base, [group.name for group in groups if len(group.gates) == 1])
    worths = []
    for number, group in enumerate(groups):
        decisions = _seen(case, group)
        worths.append(
            GateWorth(
                group,
                _kind(case, group),
                float(np.mean([one.mean() for one in decisions])),
                float(np.mean([np.count_nonzero(~one) for one in decisions])),
                base,
                outcomes[2 * number],
                outcomes[2 * number + 1],
                steps.get(group.name) if len(group.gates) == 1 else None,
            )
        )
    return worths


def _seen(case: Case, group: GateGroup) -> list[npt.NDArray[np.bool_]]:
    """All bits of a group, of each image that gets to it: others leave at an early exit."""
    those = [own for own in case.decisions if all(gate in own for gate in group.gates)]
    return [np.concatenate([own[gate].reshape(-1) for gate in group.gates]) for own in those]


def _kind(case: Case, group: GateGroup) -> str:
    if len(group.gates) > 1:
        return "block"
    decision = next(own[group.name] for own in case.decisions if group.name in own)
    return "layer" if decision.size == 1 else "tiles" if decision.ndim == 2 else "channels"


def gate_steps(runner: Runner, arch: ArchConfig, base: Outcome, gates: Sequence[str]) -> dict[str, Steps]:
    """Of each gate one step up, one down, and how far up it costs nothing."""
    one = runner.run("one more, one less", [Variation(arch, more=(g, n)) for g in gates for n in (1, -1)])
    on, off = dict(zip(gates, one[::2], strict=True)), dict(zip(gates, one[1::2], strict=True))
    closed = {
        gate: [int(np.count_nonzero(~own[gate])) for own in runner.case.decisions if gate in own] for gate in gates
    }
    free = {gate: int(max(closed[gate], default=0) > 0 and _no_more(on[gate], base)) for gate in gates}
    growing = [gate for gate in gates if free[gate]]
    while growing := [gate for gate in growing if free[gate] < max(closed[gate])]:
        tried = runner.run("more for nothing", [Variation(arch, more=(gate, 2 * free[gate])) for gate in growing])
        good = [gate for gate, outcome in zip(growing, tried, strict=True) if _no_more(outcome, base)]
        for gate in good:
            free[gate] = min(2 * free[gate], max(closed[gate]))
        growing = good
    return {
        gate: Steps(on[gate], off[gate], float(np.mean([min(free[gate], count) for count in closed[gate]])))
        for gate in gates
    }


def _no_more(outcome: Outcome, base: Outcome) -> bool:
    """Whether no image takes more cycles."""
    return outcome.refused is None and all(a <= b for a, b in zip(outcome.cycles, base.cycles, strict=True))
