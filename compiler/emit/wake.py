"""A fully connected layer on the average of a map, multiplied while the map is being written: see ``plan.wake``."""

from __future__ import annotations

from collections.abc import Callable

from gatewright.compiler.emit.access import PORT_B, Access, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.operands import gather, multiply
from gatewright.compiler.emit.placed_maps import Kernel, OutputMap, SourceMap
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.averages import DIGITS, digits_name
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.tile_sets import all_tiles
from gatewright.compiler.plan.wake import Wake, pieces_between, ready_slices
from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary


class WakeProduct:
    """Such a layer in the making: ``source`` is the map whose channels are summed, ``bank`` that of its filters.

    All that it multiplies adds up in an accumulator bank that it keeps from the first product to ``reduce``.
    """

    def __init__(
        self, context: Context, loader: FilterLoader, layer: str, bank: str, source: SourceMap, filters: int
    ) -> None:
        self.context, self.loader, self.layer, self.source, self.filters = context, loader, layer, source, filters
        self.bank = context.image.banks[bank]
        self.digits = SourceMap(context.image.addresses[digits_name(layer)], 1, DIGITS, source.channels)
        self.kept = context.keep_bank()
        self._summed, self._done = 0, 0
        context.macs[layer] = DIGITS * filters * source.channels

    def follow(self, channels: int) -> None:
        """So many of the map's channels are complete: multiply those that were before, and sum."""
        self.multiply(self._summed)
        self.sum(channels)

    def sum(self, channels: int) -> None:
        """Sum the map's channels up to a number, each as two digits."""
        first, self._summed = self._summed, max(channels, self._summed)
        if self._summed == first:
            return
        self.context.out.layer = self.layer
        edge = self.source.height
        digits = OutputMap(self.digits.address, 1, 1, self.source.channels, 0, pixels=DIGITS)
        part = first, self._summed - first
        windows(self.context, EpilogueKind.DIGITS, self.source, digits, Rows(0, 1), edge, edge, part=part)

    def multiply(self, channels: int) -> None:
        """Multiply the sums of the channels up to a number, in whole pieces of the reduction."""
        ready = ready_slices(channels, self.source.channels, self.context.arch)
        slices = Slices(self._done, ready - self._done)
        if slices.count <= 0:
            return
        self._done = ready
        context, turn = self.context, self.context.bank
        context.out.layer = self.layer
        patches = gather(context, self.digits, DIGITS, all_tiles(1, DIGITS, 1), 0, DIGITS, Kernel(), slices)
        for number, group in pieces_between(self.bank, slices.first, ready):
            first = group * self.bank.group
            sizes = self._sizes(first, min(self.bank.group, self.filters - first))
            context.bank = self.kept
            entry = DIGITS * (first // context.arch.columns)
            part, name = patches.piece(self.bank.pieces[number]), self.bank.name
            multiply(context, self.loader, name, self.digits, 1, part, sizes, group, accumulator=entry)
            self.loader.used_piece(name, number, group)
        context.patches_multiplied(patches.base)
        context.bank = turn  # the other banks go on taking turns

    @property
    def words_left(self) -> int:
        """Words of the weight buffer that the filters take that are left."""
        slices = sum(piece.count for piece in self.bank.pieces if piece.first >= self._done)
        return slices * self.bank.vectors * self.bank.groups(self.filters)

    def finish(self) -> None:
        """Sum and multiply what is left of a map that is complete."""
        self.sum(self.source.channels)
        self.multiply(self.source.channels)

    def reduce(self, kind: EpilogueKind, destination: int, relu: bool = False) -> None:
        """What has added up, with the bias: REDUCE's or REDUCE_RAW's vector."""
        context, entry = self.context, self.context.image.parameter_entry[self.bank.name]
        context.out.layer = self.layer
        item = LOGIT_BYTES if kind == EpilogueKind.REDUCE_RAW else 1
        context.out.emit(
            Opcode.EPILOGUE,
            [
                reads("accumulator", self.kept, self.kept + 1),
                Access("parameter", entry, entry + self.filters, early=True),
                writes("scratchpad", destination, destination + item * self.filters),
                PORT_B,
            ],
            kind=kind,
            destination=destination,
            out_height=1,
            out_width=DIGITS,
            channels=self.filters,
            bank=self.kept,
            parameters=entry,
            relu=int(relu),
            digits=1,
            **self._sizes(0, self.filters),
        )
        context.release_bank(self.kept)

    @staticmethod
    def _sizes(first: int, filters: int) -> dict[str, int]:
        """The fields of an instruction about both digits and some filters, which stand."""
        return {
            "tile": 1,
            "tile_count": DIGITS,
            "pixel_count": DIGITS,
            "first_filter": first,
            "filter_count": filters,
            "stationary": int(Stationary.FILTERS),
        }


class Wakes:
    """The products of a program that are made in the wake of a convolution, each once it has begun."""

    def __init__(self, context: Context, loader: FilterLoader) -> None:
        self.context, self.loader = context, loader
        self._by_layer = {wake.follower.name: wake for wake in context.image.wakes.values()}
        self._begun: dict[str, WakeProduct] = {}

    def __contains__(self, layer: str) -> bool:
        return layer in self._by_layer

    def of(self, layer: str) -> WakeProduct:
        """The product of a follower; if it is new it keeps an accumulator bank from now on."""
        if layer not in self._begun:
            self._begun[layer] = self._begin(self._by_layer[layer])
        return self._begun[layer]

    def behind(self, layer: QuantisedConv) -> Callable[[int], None]:
        """Told, behind each group of a convolution's filters, how many channels of the map are complete."""
        wake = self.context.image.wakes.get(layer.name)
        return (
            (lambda channels: None) if wake is None else lambda channels: self.of(wake.follower.name).follow(channels)
        )

    def _begin(self, wake: Wake) -> WakeProduct:
        graph, follower = self.context.graph, wake.follower
        if isinstance(follower, QuantisedAverageGate):
            shape = next(p for p in self.context.image.poolings.values() if p.name == follower.source).shape(graph)
            filters = len(follower.average_weight)
        else:
            shape, filters = graph.shapes[follower.source], len(follower.weight)
        address = self.context.image.addresses[follower.source]
        source = SourceMap(address, shape.height, shape.width, shape.channels)
        return WakeProduct(self.context, self.loader, follower.name, wake.bank, source, filters)
