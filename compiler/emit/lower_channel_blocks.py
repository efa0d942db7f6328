"""An expansion, a depthwise convolution behind it and a projection, block of channels by block of channels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gatewright.compiler.emit.depthwise import convolve_channels
from gatewright.compiler.emit.matrix import Product, store
from gatewright.compiler.emit.operands import Patches
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.chains import Chain
from gatewright.compiler.plan.channel_blocks import LAG, blocks_of, depthwise_entry, kept_filters, ready_slices
from gatewright.compiler.plan.filters import Slices
from gatewright.contract.isa import Stationary

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering


class ChannelBlocks:
    """Emits such layers. Use ``run``."""

    def __init__(self, convolutions: ConvolutionLowering, chain: Chain) -> None:
        self.convolutions, self.chain = convolutions, chain
        self.context, self.loader, self.arch = convolutions.context, convolutions.loader, convolutions.arch
        self.expansion, self.depthwise, self.projection = (self._product(layer) for layer in chain.layers)
        self._entries: dict[int, int | None] = {}
        """By block the first parameter of the depthwise convolution, if they come with the filters."""

    def _product(self, layer: QuantisedConv) -> Product:
        ((tiles, relu, pool),) = self.convolutions.tile_sets(layer)
        assert pool is None
        return self.convolutions.product(layer, tiles, relu, None)

    def run(self) -> None:
        """All of it: in each step a block of each layer."""
        context, blocks, last = self.context, blocks_of(self.chain.layers, self.arch), self.projection
        for layer in self.chain.layers:
            self.convolutions.count_macs(layer)
        context.out.layer = self.expansion.name
        patches = self.expansion.gather(context, 0, len(self.expansion.tiles))
        kept = [
            (context.keep_bank(), *filters) for filters in kept_filters(self.chain.layers[-1], self._graph, self.arch)
        ]
        self.loader.load_until(self.loader.turn[last.name] + LAG)
        done = 0
        for step in range(blocks + LAG):
            ready = ready_slices(step - LAG, self.chain.layers, self.arch) if step >= LAG else 0
            slices = Slices(done, ready - done)
            context.out.layer = last.name
            gathered = last.gather(context, 0, len(last.tiles), slices) if slices.count else None
            if 0 < step <= blocks:
                self._convolve_depthwise(step - 1)
            if step < blocks:
                self._expand(step, patches)
            if gathered is not None:
                self._project(gathered, kept)
                done = ready
            if step == blocks - 1:
                context.patches_multiplied(patches.base)
        for bank, first, filters in kept:
            context.out.layer, context.bank = last.name, bank
            store(context, last.output, last.tiles, 0, len(last.tiles), self._sizes(last, first, filters))
        for bank, *_ in kept:
            context.release_bank(bank)
        for layer in self.chain.layers:
            self.convolutions.place(layer)

    @property
    def _graph(self) -> QuantisedGraph:
        return self.convolutions.graph

    def _filters(self, block: int) -> tuple[int, int]:
        """The first of a block's channels, and how many there are."""
        first = block * self.arch.columns
        return first, min(self.arch.columns, self.expansion.filters - first)

    @staticmethod
    def _sizes(product: Product, first_filter: int, filters: int) -> dict[str, int]:
        """The fields of an instruction about all pixels and some filters, which stand."""
        return {
            "tile": product.tiles.tile,
            "first_tile": 0,
            "tile_count": len(product.tiles),
            "first_pixel": 0,
            "pixel_count": len(product.tiles) * product.tiles.pixels,
            "first_filter": first_filter,
            "filter_count": filters,
            "stationary": int(Stationary.FILTERS),
        }

    def _expand(self, block: int, patches: Patches) -> None:
        """A block of filters of the expansion."""
        context, product = self.context, self.expansion
        context.out.layer = product.name
        sizes = self._sizes(product, *self._filters(block))
        context.next_bank()
        product.multiply(context, self.loader, patches, sizes, block)
        output, entry = product.output, self.loader.parameters(product.name, block, 0)
        self._entries[block] = None if entry is None else entry + depthwise_entry(self.arch)
        if entry is not None:
            output = replace(output, parameters=entry, first_channel=sizes["first_filter"])
            sizes["first_filter"] = 0
        store(context, output, product.tiles, 0, len(product.tiles), sizes)

    def _convolve_depthwise(self, block: int) -> None:
        """The depthwise convolution of a block's channels; with it what came with its filters gives way."""
        self.context.out.layer = self.depthwise.name
        convolve_channels(self.context, self.depthwise, *self._filters(block), self._entries.pop(block))
        self.loader.used(self.expansion.name, block)

    def _project(self, patches: Patches, kept: list[tuple[int, int, int]]) -> None:
        """Some slices of the projection's reduction, by all its filters."""
        context, product = self.context, self.projection
        context.out.layer = product.name
        end = patches.slices.first + patches.slices.count
        for bank, first, filters in kept:
            context.bank = bank
            product.multiply(context, self.loader, patches, self._sizes(product, first, filters))
        context.patches_multiplied(patches.base)
        for number, piece in enumerate(context.image.banks[product.name].pieces):
            if patches.slices.first < piece.first + piece.count <= end:
                self.loader.used_piece(product.name, number)
