"""Which order each chain's layers work in, and by how many rows: what takes the fewest cycles and finds room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.allocate import MapPlan
from gatewright.compiler.plan.array_share import most_blocks
from gatewright.compiler.plan.chain_cycles import chain_cycles
from gatewright.compiler.plan.chain_room import filters_stay, layers_parameters, parameters_fit
from gatewright.compiler.plan.chains import Chain, chains
from gatewright.compiler.plan.channel_blocks import goes_by_channels, parameter_room
from gatewright.compiler.plan.placement import DoesNotFitError
from gatewright.compiler.plan.side_by_side import Order
from gatewright.contract.arch import ArchConfig

Place = Callable[[Sequence[Chain], Mapping[str, bool]], MapPlan]
"""Where everything lies with some chains; maps that are given lie at the end of the scratchpad, or at its begin."""


@dataclass(frozen=True)
class _Way:
    """A way to compute a chain, and about how many cycles it takes."""

    chain: Chain
    cycles: int


def choose_orders(
    graph: QuantisedGraph, arch: ArchConfig, needed: Sequence[Chain], maps: MapPlan, place: Place, live: bool
) -> tuple[tuple[Chain, ...], MapPlan]:
    """The chains that are ``needed``, and others, in the order and by the rows that take the fewest cycles.

    Layers around grouped convolutions whose maps are whole become a chain where that takes fewer. Maps between chains
    lie in turn at the begin and at the end of the scratchpad: what is between two of them is one gap. ``maps``: where
    everything lies as it is. In a ``live`` program layers with gated tiles take turns.
    """
    known = {name for chain in needed for name in chain.names}
    others = [chain for chain in chains(graph) if not chain.names & known]
    ways = [_ways(chain, True, arch, live) for chain in needed]
    ways += [_ways(chain, False, arch, live) for chain in others]
    middles = {name for chain in (*needed, *others) for name in chain.middles}
    convolutions = [layer for layer in graph.layers if isinstance(layer, QuantisedConv)]
    between = [layer.output for layer in convolutions if layer.output not in middles and layer.residual is None]
    first = [next(way for way in candidates if way.chain.order == Order.IN_TURN) for candidates in ways]
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
    fit = [one for one in found if parameters_fit(graph, _cut(one[0], len(needed)), arch, live)]
    best, maps = min(fit or found[:1], key=lambda one: sum(way.cycles for way in one[0]))
    return tuple(_cut(best, len(needed))), maps


def _ways(chain: Chain, needed: bool, arch: ArchConfig, live: bool) -> list[_Way]:
    """How a chain can be computed, the ways that take fewer cycles first."""
    in_turn, *by_rows = chain.ways(arch)
    if live and any(layer.output_tiles for layer in chain.layers):
        by_rows = []
    stays = filters_stay(chain, arch)
    ways = [in_turn if needed else replace(in_turn, rows=chain.graph.shapes[chain.layers[-1].output].height)]
    if needed or (stays and layers_parameters(chain.layers, chain.graph, arch) <= parameter_room(arch)):
        ways += by_rows
    if goes_by_channels(chain.layers, chain.graph, arch):
        ways.append(replace(in_turn, order=Order.BY_CHANNELS))
    timed = [_Way(way, chain_cycles(way, arch)) for way in ways]
    if stays:
        timed = [_with_share(way, arch) for way in timed]
    return sorted(timed, key=lambda way: way.cycles)


def _with_share(way: _Way, arch: ArchConfig) -> _Way:
    """The way with as many blocks of depthwise convolutions on the array as make it faster."""
    best, chain = way, way.chain
    if chain.order not in (Order.IN_PHASES, Order.SIDE_BY_SIDE):
        return way
    while True:
        share = best.chain.share
        others = [
            replace(chain, share={**share, layer.name: share.get(layer.name, 0) + arch.columns})
            for layer in chain.layers
            if layer.name in chain.in_epilogue and share.get(layer.name, 0) // arch.columns < most_blocks(layer, arch)
        ]
        timed = [_Way(other, chain_cycles(other, arch)) for other in others]
        found = min(timed, key=lambda one: one.cycles, default=best)
        if found.cycles >= best.cycles:
            return best
        best = found


def _cut(chosen: Sequence[_Way], needed: int) -> list[Chain]:
    """Those that are not whole layers in turn: of the chains behind the ``needed`` ones those side by side."""
    made = [way.chain for way in chosen]
    return [chain for number, chain in enumerate(made) if number < needed or chain.order != Order.IN_TURN]
