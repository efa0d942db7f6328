"""A fully connected layer on the average of a map: the product per pixel, then the sum over the pixels.

The sum after the product is exact, so nothing is rounded in between.
"""

from __future__ import annotations

from gatewright.compiler.emit.context import Context, Kernel, SourceMap
from gatewright.compiler.emit.emit import PORT_B, Access, reads, writes
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.operands import Patches, gather_into, multiply
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.tiling import all_tiles
from gatewright.contract.encodings import LOGIT_BYTES, REGION_UNIT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary


class AverageProduct:
    """One such layer in the making; rows of the map may be gathered as they become complete."""

    def __init__(
        self,
        context: Context,
        loader: FilterLoader,
        bank: str,
        layer: str,
        source: SourceMap,
        filters: int,
        destination: int,
        kind: EpilogueKind,
    ) -> None:
        self.context, self.loader, self.bank, self.source = context, loader, bank, source
        self.filters, self.destination, self.kind = filters, destination, kind
        self.tiles = all_tiles(source.height, source.width, 1)
        if len(self.tiles) > context.arch.accumulator_depth:
            raise GatewrightError(
                f"arch {context.arch.name}: {layer} averages {len(self.tiles)} pixels, accumulator_depth is "
                f"{context.arch.accumulator_depth}; raise it"
            )
        context.macs[layer] += len(self.tiles) * filters * source.channels
        self.slices = slices_of(source.channels, context.arch)
        self.vectors = padded_vectors(len(self.tiles))
        self.base = context.take_patches(self.slices * self.vectors)
        self.gathered = 0

    def gather_rows(self, rows: int) -> None:
        """Gather the pixels of the first ``rows`` rows, as far as they fill whole groups of 4 vectors."""
        pixels = min(rows * self.source.width, len(self.tiles))
        count = pixels - self.gathered
        if pixels < len(self.tiles):
            count -= count % REGION_UNIT
        if count > 0:
            base = self.base + self.gathered
            gather_into(
                self.context,
                self.source,
                self.source.width,
                self.tiles,
                self.gathered,
                count,
                Kernel(),
                Patches(base, self.vectors, Slices(0, self.slices)),
            )
            self.gathered += count

    def finish(self) -> None:
        """Gather what is left; multiply; sum and write."""
        self.gather_rows(self.source.height)
        context = self.context
        entry = context.image.parameter_entry[self.bank]
        item = LOGIT_BYTES if self.kind == EpilogueKind.REDUCE_RAW else 1
        bank = context.image.banks[self.bank]
        for group, first in enumerate(range(0, self.filters, context.arch.columns)):
            count = min(context.arch.columns, self.filters - first)
            sizes = {
                "tile": 1,
                "tile_count": len(self.tiles),
                "pixel_count": len(self.tiles),
                "first_filter": first,
                "filter_count": count,
                "stationary": int(Stationary.FILTERS),
            }
            patches = Patches(self.base, self.vectors, Slices(0, self.slices))
            context.next_bank()
            number = group if bank.streamed else 0
            multiply(context, self.loader, self.bank, self.source, 1, patches, sizes, number)
            self.loader.used(self.bank, number)
            low = self.destination + item * first
            context.out.emit(
                Opcode.EPILOGUE,
                [
                    reads("accumulator", context.bank, context.bank + 1),
                    Access("parameter", entry, entry + self.filters, early=True),
                    writes("scratchpad", low, low + item * count),
                    PORT_B,
                ],
                kind=self.kind,
                destination=self.destination,
                out_height=self.source.height,
                out_width=self.source.width,
                channels=self.filters,
                bank=context.bank,
                parameters=entry,
                relu=int(self.kind == EpilogueKind.REDUCE),
                **sizes,
            )
        context.patches_multiplied(self.base)
