"""The order in which filter banks are used, and so loaded: by layer, in turn, or in the wake of one another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_use import Use
from gatewright.compiler.graph.graph import QuantisedLayer
from gatewright.compiler.plan.channel_blocks import filters_in_order
from gatewright.compiler.plan.filters import FilterBank


class FilterOrder:
    """``pending``: what is not loaded yet, in order. ``turn``: a layer's number among those with filters."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.layers = [layer for layer in context.graph.layers if layer.banks]
        self.turn = {layer.name: number for number, layer in enumerate(self.layers)}
        in_turn = {layer.name: block.first.name for block in context.image.blocks for layer in block.layers}
        in_turn |= {layer.name: chain.layers[0].name for chain in context.image.chains for layer in chain.layers}
        in_turn |= {name: name for name in context.image.used_twice if name not in in_turn}
        in_turn |= {name: one.layers[0].name for name, one in context.image.passes.items()}
        alone = [layer for layer in self.layers if layer.name in context.image.by_rows and self._streams(layer)]
        in_turn |= {layer.name: layer.name for layer in alone}
        head = () if context.image.head is None else context.image.head.names
        self._wakes = context.image.wakes
        followers = [wake.bank for wake in self._wakes.values()]
        self.pending = deque(
            Use(
                self.turn[in_turn.get(layer.name, layer.name)],
                bank,
                -1 if layer.name in in_turn and bank.streamed else 0,
                layer.tile_gate,
            )
            for name, layer in ((layer.name, layer) for layer in self._in_order_of_use())
            if name not in context.image.by_channels and name not in head
            for bank in self.banks_of(layer)
            if bank.name not in followers
        )
        self.pending = deque(use for one in self.pending for use in self._with_follower(one))
        self._add_by_channels()

    def _add_by_channels(self) -> None:
        """Those of layers that are computed by channels: piece by piece in the order in which they need them."""
        banks = self.context.image.banks
        for chain in {id(chain): chain for chain in self.context.image.by_channels.values()}.values():
            first, depthwise, last = (banks[layer.name] for layer in chain.layers)
            turn = self.turn[first.name]
            order = filters_in_order(chain.layers, first, last, self.context.arch)
            self._add_in_order(turn, [first, depthwise, last], order)
        head = self.context.image.head
        if head is not None:
            first, last = (banks[name] for name in head.names)
            self._add_in_order(self.turn[first.name], [first, last], head.order(first, last, self.context.arch))

    def _add_in_order(
        self, turn: int, banks: Sequence[FilterBank], order: Iterable[tuple[FilterBank, int, int]]
    ) -> None:
        """The uses of layers that work side by side: what stays first, then (bank, group, piece) in ``order``."""
        uses = [Use(turn, bank, 0, None) for bank in banks if not bank.streamed]
        uses += [Use(turn, bank, 0, None, group, piece, left=1) for bank, group, piece in order if bank.streamed]
        place = next((n for n, use in enumerate(self.pending) if use.turn > turn), len(self.pending))
        self.pending = deque([*islice(self.pending, place), *uses, *islice(self.pending, place, None)])

    def _with_follower(self, use: Use, ends: bool = True) -> list[Use]:
        """A use of a bank, and what follows it in its wake; without ``ends`` it comes behind, and is used later."""
        wake = self._wakes.get(use.bank.name)
        if wake is None or use.serial < 0:
            return [use]
        bank, follower = use.bank, self.context.image.banks[wake.bank]
        order = wake.order(bank, follower, self.context.arch)
        uses = [
            replace(use, group=group, piece=piece, left=1)
            if one is bank
            else Use(use.turn, follower, 0, None, group, piece, left=1)
            for one, group, piece in order
            if ends or one is follower
        ]
        return uses if ends else [use, *uses]

    def _in_order_of_use(self) -> list[QuantisedLayer]:
        """The layers; of gates that join one another those with streamed filters last."""
        order: list[QuantisedLayer] = []
        for layer in self.layers:
            streamed = self._streams(layer)
            place = len(order)
            while (
                place
                and not streamed
                and layer.role == "gate"
                and layer.joins(order[place - 1])
                and self._streams(order[place - 1])
            ):
                place -= 1
            order.insert(place, layer)
        return order

    def _streams(self, layer: QuantisedLayer) -> bool:
        return any(bank.streamed for bank in self.banks_of(layer))

    def banks_of(self, layer: QuantisedLayer) -> list[FilterBank]:
        """The filter banks of a layer, in order of use."""
        return [self.context.image.banks[name] for name in layer.banks]

    def schedule(self, layers: Sequence[QuantisedLayer], uses: list[tuple[str, int]], ends: bool = False) -> None:
        """The order in which layers will use their filters, in turn or more than once: (bank, which use of it).

        ``ends``: the last one is that of a layer in whose wake others may be multiplied; else they come behind all.
        """
        names = {bank.name for layer in layers for bank in self.banks_of(layer)}
        places = [place for place, use in enumerate(self.pending) if use.bank.name in names]
        if not places:
            return  # all of them resident, and loaded
        turn = self.pending[places[0]].turn
        banks, left_to_load = self.context.image.banks, {self.pending[place].bank.name for place in places}
        ordered = [
            Use(turn, banks[name], serial, None)
            for name, serial in uses
            if name in left_to_load and (banks[name].streamed or not serial)
        ]
        if ends and ordered and ordered[-1].bank.name in self._wakes:
            ordered[-1:] = self._with_follower(ordered[-1])
        else:
            of = next((banks[layer.name] for layer in layers if layer.name in self._wakes), None)
            ordered += [] if of is None else self._with_follower(Use(turn, of, 0, None), False)[1:]
        before = list(self.pending)[: places[0]]
        left = [use for use in list(self.pending)[places[0] :] if use.bank.name not in names]
        self.pending = deque([*before, *ordered, *left])

    def drop(self, bank: FilterBank) -> None:
        """A bank is not used any more."""
        self.pending = deque(use for use in self.pending if use.bank is not bank)
