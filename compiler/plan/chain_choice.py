"""Which order each chain's layers work in, and by how many rows: what takes the fewest cycles and finds room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.allocate import MapPlan
from gatewright.compiler.plan.array_share import most_blocks
from gatewright.compiler.plan.chain_cycles import chain_cycles
from gatewright.compiler.plan.chains import Chain, chains
from gatewright.compiler.plan.channel_blocks import goes_by_channels
from gatewright.compiler.plan.filters import may_stay
from gatewright.compiler.plan.placement import DoesNotFitError
from gatewright.compiler.plan.side_by_side import Order
from gatewright.contract.arch import ArchConfig

Place = Callable[[Sequence[Chain], Mapping[str, bool]], MapPlan]
"""Where everything lies with some chains; maps that are given lie at the end of the scratchpad, or at its begin."""


def choose_orders(
    graph: QuantisedGraph, arch: ArchConfig, needed: Sequence[Chain], maps: MapPlan, place: Place
) -> tuple[tuple[Chain, ...], MapPlan]:
    """The chains that are ``needed``, and others, in the order and by the rows that take the fewest cycles.

    Layers around grouped convolutions whose maps are whole become a chain where that takes fewer. Maps between chains
    lie in turn at the begin and at the end of the scratchpad: what is between two of them is one gap. ``maps``: where
    everything lies as it is.
    """
    known = {name for chain in needed for name in chain.names}
    others = [chain for chain in chains(graph) if not chain.names & known]
    ways = [_ways(chain, True, arch) for chain in needed] + [_ways(chain, False, arch) for chain in others]
    middles = {name for chain in (*needed, *others) for name in chain.middles}
    convolutions = [layer for layer in graph.layers if isinstance(layer, QuantisedConv)]
    between = [layer.output for layer in convolutions if layer.output not in middles and layer.residual is None]
    first = [next(way for way in candidates if way.order == Order.IN_TURN) for candidates in ways]
    found = [(first, maps)]
    for ends in ({}, *({name: n % 2 == last for n, name in enumerate(between)} for last in (0, 1))):
        chosen = list(first)
        for number, candidates in enumerate(ways):
            for way in candidates:
                before, chosen[number] = chosen[number], way
                try:
                    found.append((list(chosen), place(_cut(chosen, len(needed)), ends)))
                    break
                except DoesNotFitError:
                    chosen[number] = before
    best, maps = min(found, key=lambda one: sum(chain_cycles(way, arch) for way in one[0]))
    return tuple(_cut(best, len(needed))), maps


def _ways(chain: Chain, needed: bool, arch: ArchConfig) -> list[Chain]:
    """How a chain can be computed, the ways that take fewer cycles first."""
    in_turn, *by_rows = chain.ways(arch)
    ways = [in_turn if needed else replace(in_turn, rows=chain.graph.shapes[chain.layers[-1].output].height)]
    if needed or _filters_stay(chain, arch):
        ways += [_with_share(way, arch) for way in by_rows]
    if goes_by_channels(chain.layers, chain.graph, arch):
        ways.append(replace(in_turn, order=Order.BY_CHANNELS))
    return sorted(ways, key=lambda way: chain_cycles(way, arch))


def _with_share(chain: Chain, arch: ArchConfig) -> Chain:
    """The chain with as many blocks of depthwise convolutions on the array as make it faster."""
    best = chain
    while True:
        others = [
            replace(best, share={**best.share, layer.name: best.share.get(layer.name, 0) + arch.columns})
            for layer in chain.layers
            if layer.name in chain.in_epilogue
            and best.share.get(layer.name, 0) // arch.columns < most_blocks(layer, arch)
        ]
        found = min(others, key=lambda one: chain_cycles(one, arch), default=best)
        if chain_cycles(found, arch) >= chain_cycles(best, arch):
            return best
        best = found


def _cut(chosen: Sequence[Chain], needed: int) -> list[Chain]:
    """Those that are not whole layers in turn: of the chains behind the ``needed`` ones those side by side."""
    return [chain for number, chain in enumerate(chosen) if number < needed or chain.order != Order.IN_TURN]


def _filters_stay(chain: Chain, arch: ArchConfig) -> bool:
    """Whether no filters of the array's layers are read again for each step, and all have room together."""
    return may_stay([layer.weight.shape for layer in chain.layers if layer.groups == 1], arch)
