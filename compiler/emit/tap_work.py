"""The logits of a spatial gate whose kernel is a filter for each of its places: see ``plan.spatial_products``."""

from __future__ import annotations

from gatewright.compiler.emit.access import Access, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.operands import gather, multiply
from gatewright.compiler.emit.placed_maps import Kernel, SourceMap
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.filters import pieces_of
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.tile_sets import all_tiles
from gatewright.compiler.plan.tiling import PATCH_SHARE, PIECE_UNIT
from gatewright.contract.arch import MASK_BITS
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary


class TapWork:
    """Filters stand still, all pixels of the pooled map stream past, piece by piece of the channels; then the sums.

    It is one step, for which the pooled map must be complete.
    """

    def __init__(
        self, context: Context, loader: FilterLoader, gate: QuantisedSpatialGate, source: SourceMap, mask: int
    ) -> None:
        self.context, self.loader, self.gate, self.source, self.mask = context, loader, gate, source, mask
        self.left, self.held = True, False
        context.macs[gate.name] = source.height * source.width * gate.weight.size

    def advance(self, rows: int) -> None:
        """Nothing begins before the pooled map is complete."""

    def step(self) -> int:
        """Emit all of it; about the array's cycles."""
        context, source, gate = self.context, self.source, self.gate
        tiles, bank = all_tiles(source.height, source.width, 1), context.next_bank()
        pixels, slices = len(tiles), slices_of(source.channels, context.arch)
        most = min(PIECE_UNIT, context.patches.size // PATCH_SHARE // padded_vectors(pixels))
        sizes = {
            "tile": 1,
            "tile_count": pixels,
            "pixel_count": pixels,
            "filter_count": gate.weight.shape[1] * gate.weight.shape[2],
            "stationary": int(Stationary.FILTERS),
        }
        for piece in pieces_of(slices, most, 1):
            patches = gather(context, source, source.width, tiles, 0, pixels, Kernel(), piece)
            multiply(context, self.loader, gate.name, source, 1, patches, sizes)
            context.patches_multiplied(patches.base)
        self._signs(bank)
        self.left = False
        return pixels * slices

    def _signs(self, bank: int) -> None:
        """The sums over the kernel's places, and their signs into the mask."""
        context, gate, (height, width) = self.context, self.gate, self.gate.grid
        entry = context.image.parameter_entry[gate.name]
        context.out.emit(
            Opcode.EPILOGUE,
            [
                reads("accumulator", bank, bank + 1),
                Access("parameter", entry, entry + 1, early=True),
                writes("mask", self.mask, self.mask + 1),
            ],
            kind=EpilogueKind.TAPS,
            stationary=Stationary.FILTERS,
            destination=self.mask * MASK_BITS,
            out_height=height,
            out_width=width,
            channels=1,
            tile=1,
            tile_count=height * width,
            pixel_count=height * width,
            filter_count=1,
            bank=bank,
            parameters=entry,
            source_height=self.source.height,
            source_width=self.source.width,
            window=gate.weight.shape[1],
            step=gate.stride,
            inset=gate.padding,
        )
