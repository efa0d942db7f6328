"""The channels of a depthwise convolution that the array computes: tap by tap, each block by its slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.matrix import Product, store
from gatewright.compiler.emit.operands import multiply
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.array_share import slice_of, stored_slice
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.tiling import even_chunks
from gatewright.contract.isa import Stationary


def convolve_share(context: Context, loader: FilterLoader, product: Product, layer: QuantisedConv) -> Iterator[None]:
    """The last ``product.filters`` channels of a layer, over tiles of one pixel: chunk by chunk."""
    arch, tiles, name = context.arch, product.tiles, product.name
    blocks, first = product.filters // arch.columns, product.first_filter // arch.columns
    entry = context.image.share_entry[name]
    output = replace(product.output, parameters=entry, first_channel=product.first_filter)
    for chunk in even_chunks(tiles, arch, blocks, arch.accumulator_depth // blocks):
        context.out.layer = name
        context.next_bank()
        pixels = chunk[1] * tiles.pixels
        sizes = {
            "tile": tiles.tile,
            "first_tile": tiles.start + chunk[0],
            "tile_count": chunk[1],
            "first_pixel": 0,
            "pixel_count": pixels,
            "stationary": int(Stationary.FILTERS),
        }
        for tap in range(product.kernel.taps):
            patches = product.gather(context, *chunk, Slices(slice_of(layer, tap, first, arch), blocks))
            for block in range(blocks):
                multiply(
                    context,
                    loader,
                    name,
                    product.source,
                    product.kernel.taps,
                    patches.piece(Slices(patches.slices.first + block, 1)),
                    sizes | {"first_filter": block * arch.columns, "filter_count": arch.columns},
                    accumulator=block * pixels,
                    stored=(stored_slice(layer, tap, first + block, arch), tap > 0),
                )
            context.patches_multiplied(patches.base)
            yield
        store(context, output, tiles, *chunk, sizes | {"first_filter": 0, "filter_count": product.filters})
        yield
