"""What gates decide about, in blocks: which convolutions are left out together, and what they multiply.

Gates belong together that are in one module, or that decide about one layer's output. A layer belongs to the gates
that decide about its output, or else to those of its input. What only the block's layers read, behind its gates, is
of the block, too: a shortcut, which is always computed. Behind an early exit all else is a block of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gatewright.compiler.graph.graph import Decisions, QuantisedGraph, QuantisedLayer
from gatewright.compiler.graph.leaving import stages_of, taken_exit
from gatewright.compiler.graph.serving import serving_gates

_OUTPUT = ("output_tiles", "output_channels")


@dataclass(frozen=True)
class GatedBlock:
    """Names of the gates that decide about it, in order (none behind an exit), and of its layers, in order."""

    name: str
    gates: tuple[str, ...]
    layers: tuple[str, ...]


def gated_blocks(graph: QuantisedGraph) -> tuple[GatedBlock, ...]:
    """In order of execution; none in a network without gates and exits."""
    order, serving = {layer.name: place for place, layer in enumerate(graph.layers)}, serving_gates(graph)
    layers = [layer for layer in graph.layers if layer.name not in serving and layer.macs(graph, None)]
    leader = _leaders(graph, layers)
    members: dict[str, list[str]] = {}
    for layer in layers:
        if layer.gates:
            members.setdefault(leader[_deciding(layer)[0]], []).append(layer.name)
    gates = {first: [gate for gate in leader if leader[gate] == first] for first in members}
    readers = _readers(graph)
    for first, names in members.items():
        names += _read_by_them_alone(graph, readers, names, order[gates[first][-1]])
    blocks = [(tuple(gates[first]), tuple(sorted(names, key=order.__getitem__))) for first, names in members.items()]
    paths = [_path([*decided, *names]) for decided, names in blocks]
    named = [
        GatedBlock(path if path and paths.count(path) == 1 else _span(names), decided, names)
        for path, (decided, names) in zip(paths, blocks, strict=True)
    ]
    named += _behind_exits(graph, layers, {name for block in named for name in block.layers})
    return tuple(sorted(named, key=lambda block: order[block.layers[0]]))


def macs_by_block(graph: QuantisedGraph, blocks: Sequence[GatedBlock], decisions: Decisions | None) -> dict[str, int]:
    """MACs of one sample by block, those of the gates themselves left out; without decisions of the dense network."""
    number = stages_of(graph).number
    taken = len(number) if decisions is None else taken_exit(graph, decisions)
    seen = {layer.name: layer for layer in graph.layers if number[layer.name] <= taken}
    return {
        block.name: sum(seen[name].macs(graph, decisions) for name in block.layers if name in seen) for block in blocks
    }


def _deciding(layer: QuantisedLayer) -> tuple[str, ...]:
    """The gates that decide about a layer's output; where none does those about its input."""
    found = (getattr(layer, name, None) for name in _OUTPUT)
    return tuple(gate for gate in found if gate is not None) or layer.gates


def _leaders(graph: QuantisedGraph, layers: Sequence[QuantisedLayer]) -> dict[str, str]:
    """For each gate that any layer looks at, in order, the first of those that belong to it."""
    used = {gate for layer in layers for gate in layer.gates}
    leader = {layer.name: layer.name for layer in graph.layers if layer.name in used}
    whole = _path([layer.name for layer in graph.layers])
    groups = [
        [gate for gate in leader if _path([gate]) == path] for path in {_path([gate]) for gate in leader} - {whole}
    ]
    groups += [list(_deciding(layer)) for layer in layers if layer.gates]
    for group in groups:
        old = {leader[gate] for gate in group}
        first = next(gate for gate in leader if gate in old)
        leader |= {gate: first for gate in leader if leader[gate] in old}
    return leader


def _readers(graph: QuantisedGraph) -> dict[str, set[str]]:
    """For each layer the names of those that read what it writes."""
    by_tensor: dict[str, set[str]] = {}
    for layer in graph.layers:
        for tensor in layer.reads:
            by_tensor.setdefault(tensor, set()).add(layer.name)
    return {layer.name: set().union(*(by_tensor.get(name, ()) for name in layer.writes)) for layer in graph.layers}


def _read_by_them_alone(
    graph: QuantisedGraph, readers: Mapping[str, set[str]], names: Sequence[str], last_gate: int
) -> list[str]:
    """Layers behind the gate at a place in the order, without gates, that only these layers read, or one another."""
    inside, found = set(names), list[str]()
    for layer in reversed(graph.layers[last_gate + 1 :]):
        if not layer.gates and layer.gives is None and readers[layer.name] and readers[layer.name] <= inside:
            inside.add(layer.name)
            found += [layer.name] if layer.macs(graph, None) else []
    return found


def _behind_exits(graph: QuantisedGraph, layers: Sequence[QuantisedLayer], taken: set[str]) -> list[GatedBlock]:
    """What is left, by the last exit before it."""
    stages = stages_of(graph)
    rest: dict[int, list[str]] = {}
    for layer in layers:
        number = stages.number[layer.name]
        if number and layer.name not in taken:
            rest.setdefault(number, []).append(layer.name)
    return [GatedBlock(f"behind {stages.exits[number - 1]}", (), tuple(names)) for number, names in rest.items()]


def _path(names: Sequence[str]) -> str:
    """The innermost module that holds them all; empty where that is the network."""
    paths = [name.split(".")[:-1] for name in names]
    common = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
