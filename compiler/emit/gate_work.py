"""The logits of gates: products that become mask bits, begun while the map that a gate looks at is being written."""

from __future__ import annotations

from gatewright.compiler.emit.average_product import AverageProduct
from gatewright.compiler.emit.context import Context, Kernel, SourceMap
from gatewright.compiler.emit.emit import Access, reads, writes
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.operands import Patches, gather, gather_into, multiply
from gatewright.compiler.kinds.channel_gate import QuantisedChannelGate
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.tiling import PATCH_SHARE, all_tiles, patch_pieces
from gatewright.contract.arch import MASK_BITS
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary


class SpatialWork:
    """The logits of a spatial gate: pixels stand still, the one filter streams past, block by block.

    A block's patches are gathered grid row by grid row as the pooled map is completed.
    """

    def __init__(
        self, context: Context, loader: FilterLoader, gate: QuantisedSpatialGate, source: SourceMap, mask: int
    ) -> None:
        self.context, self.loader, self.gate, self.source, self.mask = context, loader, gate, source, mask
        self.tiles = all_tiles(*gate.grid, 1)
        self.kernel = Kernel(gate.weight.shape[1], gate.weight.shape[2], gate.stride, gate.padding, gate.padding)
        self.slices = slices_of(gate.weight[0].size, context.arch)
        step = context.arch.columns
        self.blocks = [(first, min(step, len(self.tiles) - first)) for first in range(0, len(self.tiles), step)]
        self.base, self.gathered = -1, 0
        context.macs[gate.name] = len(self.tiles) * gate.weight.size

    def advance(self, rows: int) -> None:
        """Emit what needs no more than the first ``rows`` rows of the pooled map."""
        while self.blocks and self._block(rows, early=True):
            pass

    def block(self) -> None:
        """Emit the next block; the pooled map is complete."""
        self._block(self.source.height, early=False)

    def _block(self, rows: int, early: bool) -> bool:
        """Emit what can be of the next block; whether that is all of it."""
        first, count = self.blocks[0]
        words = self.slices * padded_vectors(count)
        ready = sum(self._bottom(cell) <= rows for cell in range(first, first + count))
        in_pieces = PATCH_SHARE * words > self.context.patches.size
        if early and not self.gathered and (in_pieces or not self.context.may_begin_early(words)):
            return False
        if in_pieces:
            self._product_in_pieces(first, count)
        else:
            if ready < count:
                ready = ready // 4 * 4
            if ready > self.gathered:
                self._gather(first, ready, padded_vectors(count))
            if ready < count:
                return False
            self._product(first, count)
        self.blocks.pop(0)
        self.gathered = 0
        return True

    def _bottom(self, cell: int) -> int:
        """Rows of the pooled map that a cell of the grid needs."""
        row = cell // self.gate.grid[1]
        return min(self.source.height, row * self.gate.stride - self.gate.padding + self.kernel.height)

    def _gather(self, first: int, ready: int, vectors: int) -> None:
        if not self.gathered:
            self.base = self.context.take_patches(self.slices * vectors)
        region = Patches(self.base + self.gathered, vectors, Slices(0, self.slices))
        low, width = first + self.gathered, self.gate.grid[1]
        gather_into(self.context, self.source, width, self.tiles, low, ready - self.gathered, self.kernel, region)
        self.gathered = ready

    def _product(self, first: int, count: int) -> None:
        self.context.next_bank()
        self._multiply(Patches(self.base, padded_vectors(count), Slices(0, self.slices)), first, count)
        threshold(self.context, self.gate.name, self.mask, first, self.gate.grid[1], self._sizes(first, count))

    def _product_in_pieces(self, first: int, count: int) -> None:
        """The product of patches that are too long to be held whole."""
        context, vectors = self.context, padded_vectors(count)
        context.next_bank()
        for piece in patch_pieces(Slices(0, self.slices), self.slices, vectors, context.patches.size):
            width = self.gate.grid[1]
            self._multiply(
                gather(context, self.source, width, self.tiles, first, count, self.kernel, piece), first, count
            )
        threshold(context, self.gate.name, self.mask, first, self.gate.grid[1], self._sizes(first, count))

    def _sizes(self, first: int, count: int) -> dict[str, int]:
        return {
            "tile": 1,
            "first_tile": first,
            "tile_count": count,
            "pixel_count": count,
            "first_filter": 0,
            "filter_count": 1,
            "stationary": int(Stationary.PIXELS),
        }

    def _multiply(self, patches: Patches, first: int, count: int) -> None:
        context, sizes = self.context, self._sizes(first, count)
        multiply(context, self.loader, self.gate.name, self.source, self.kernel.taps, patches, sizes)
        context.patches_multiplied(patches.base)


class ChannelWork:
    """The hidden layer of a channel gate. Most of the pooled map can be gathered before its last rows are there."""

    def __init__(
        self, context: Context, loader: FilterLoader, gate: QuantisedChannelGate, source: SourceMap, mask: int
    ) -> None:
        self.context, self.loader, self.gate, self.source, self.mask = context, loader, gate, source, mask
        self.average: AverageProduct | None = None

    def advance(self, rows: int) -> None:
        """Gather the first rows, once three quarters of them are there."""
        words = slices_of(self.source.channels, self.context.arch) * padded_vectors(
            self.source.height * self.source.width
        )
        if self.average is None and 4 * rows >= 3 * self.source.height and self.context.may_begin_early(words):
            self.average = self._average()
            self.average.gather_rows(rows)

    def begin(self) -> bool:
        """Sum the pixels of the pooled map, which is complete, if they are summed before the product; whether so."""
        self.average = self.average or self._average()
        self.average.sum()
        return self.average.summed

    def finish(self) -> None:
        """Gather what is left, multiply, sum, requantise."""
        average = self.average or self._average()
        average.finish()

    def _average(self) -> AverageProduct:
        gate, context = self.gate, self.context
        context.macs[gate.name] = 0
        destination = context.image.addresses[gate.hidden_name]
        bank = gate.hidden_name
        filters = len(gate.hidden_weight)
        return AverageProduct(
            context, self.loader, bank, gate.name, self.source, filters, destination, EpilogueKind.REDUCE
        )


def threshold(context: Context, name: str, mask: int, first_bit: int, width: int, sizes: dict[str, int]) -> None:
    """Bits of a mask from ``first_bit`` on: the signs of a product whose entries are complete."""
    entry = context.image.parameter_entry[name]
    low = entry + sizes.get("first_filter", 0)
    context.out.emit(
        Opcode.EPILOGUE,
        [
            reads("accumulator", context.bank, context.bank + 1),
            Access("parameter", low, low + sizes["filter_count"], early=True),
            writes("mask", mask, mask + 1),
        ],
        kind=EpilogueKind.THRESHOLD,
        destination=mask * MASK_BITS + first_bit,
        out_height=1,
        out_width=width,
        bank=context.bank,
        parameters=entry,
        **sizes,
    )
