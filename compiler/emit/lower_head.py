"""The last convolution, its channels' sums and the classifier, block of channels by block of channels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gatewright.compiler.emit.matrix import store
from gatewright.compiler.emit.operands import Patches
from gatewright.compiler.emit.placed_maps import SourceMap
from gatewright.compiler.emit.wake import WakeProduct
from gatewright.compiler.plan.head import LAG, Head
from gatewright.contract.isa import EpilogueKind, Stationary

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering


class HeadLowering:
    """Emits both layers, up to the logits in the scratchpad. Use ``run``."""

    def __init__(self, convolutions: ConvolutionLowering, head: Head) -> None:
        self.convolutions, self.head = convolutions, head
        self.context, self.loader, self.arch = convolutions.context, convolutions.loader, convolutions.arch
        self.image = convolutions.image
        ((tiles, relu, _),) = convolutions.tile_sets(head.convolution)
        self.product = convolutions.product(head.convolution, tiles, relu, None)

    def run(self) -> None:
        """In each step a block of the convolution, the sums of the one before, and what is ready by then."""
        context, head, product = self.context, self.head, self.product
        self.convolutions.count_macs(head.convolution)
        context.out.layer = product.name
        # All of the source is read here: the sums, which are written from now on, may lie in its place.
        patches = product.gather(context, 0, len(product.tiles))
        output, name, blocks = product.output, head.classifier.name, head.blocks(self.arch)
        source = SourceMap(output.address, output.height, output.width, output.channels)
        wake = WakeProduct(context, self.loader, name, name, source, len(head.classifier.weight))
        self.loader.load_until(self.loader.turn[name])
        for step in range(blocks + LAG):
            wake.sum(min(step * self.arch.columns, product.filters))
            if step < blocks:
                self._convolve(step, patches)
            if step == blocks - 1:
                context.patches_multiplied(patches.base)
            wake.multiply(min(max(0, step - LAG + 1) * self.arch.columns, product.filters))
        wake.reduce(EpilogueKind.REDUCE_RAW, self.image.addresses[head.classifier.output])
        self.convolutions.place(head.convolution)

    def _filters(self, block: int) -> tuple[int, int]:
        """The first of a block's channels, and how many there are."""
        first = block * self.arch.columns
        return first, min(self.arch.columns, self.product.filters - first)

    def _convolve(self, block: int, patches: Patches) -> None:
        """A block of filters of the convolution."""
        context, product, (first, count) = self.context, self.product, self._filters(block)
        context.out.layer = product.name
        bank = self.image.banks[product.name]
        group = first // bank.group if bank.streamed else 0
        sizes = {
            "tile": product.tiles.tile,
            "tile_count": len(product.tiles),
            "pixel_count": len(product.tiles) * product.tiles.pixels,
            "first_filter": first,
            "filter_count": count,
            "stationary": int(Stationary.FILTERS),
        }
        context.next_bank()
        product.multiply(context, self.loader, patches, sizes, group)
        output, entry = product.output, self.loader.parameters(product.name, group, 0)
        if entry is not None:
            output = replace(output, parameters=entry, first_channel=group * bank.group)
            sizes["first_filter"] -= group * bank.group
        store(context, output, product.tiles, 0, len(product.tiles), sizes)
        if (first + count) % bank.group == 0 or first + count == product.filters:
            self.loader.used(product.name, group)
