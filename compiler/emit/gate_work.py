"""The logits of gates: products that become mask bits, begun while the map that a gate looks at is being written."""

from __future__ import annotations

from gatewright.compiler.emit.access import Access, reads, writes
from gatewright.compiler.emit.average_product import AverageProduct
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.operands import Patches, gather, gather_into, multiply
from gatewright.compiler.emit.placed_maps import Kernel, SourceMap
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.filters import Slices, pieces_of
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.tile_sets import all_tiles
from gatewright.compiler.plan.tiling import PATCH_SHARE, PIECE_UNIT, patch_pieces
from gatewright.contract.arch import MASK_BITS
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary
from gatewright.contract.timing import ACCUMULATOR_LATENCY

DRAIN = 256
"""Of the array's work on what has been gathered early so many cycles are held back until the map's last product is
emitted: the array has them while that one is drained and written, and the last pixels are gathered."""

WAIT_CYCLES = 110
"""Cycles of a spatial gate's work that go into a channel gate's wait, beside one for each pixel summed. The wait
itself takes about 80; more pays where the spatial gate is what the block waits for, as it mostly is."""

GATHER_PIECES = 3
"""Pieces in which patches that the array waits for are gathered: it takes as long for one as GATHER does."""

LONG_GATHER = 64
"""Cycles of a gather that is worth cutting: each piece costs GATHER_LATENCY."""


class SpatialWork:
    """The logits of a spatial gate: pixels stand still, the one filter streams past, block by block.

    A block's patches are gathered grid row by grid row as the pooled map is completed. Blocks whose patches are there
    early are multiplied when the map's last product is emitted: the array works on them while that one is written.
    """

    def __init__(
        self, context: Context, loader: FilterLoader, gate: QuantisedSpatialGate, source: SourceMap, mask: int
    ) -> None:
        self.context, self.loader, self.gate, self.source, self.mask = context, loader, gate, source, mask
        self.tiles = all_tiles(*gate.grid, 1)
        self.kernel = Kernel(gate.weight.shape[1], gate.weight.shape[2], gate.stride, gate.padding, gate.padding)
        self.slices = slices_of(gate.weight[0].size, context.arch)
        step = context.arch.columns
        self._blocks = [(first, min(step, len(self.tiles) - first)) for first in range(0, len(self.tiles), step)]
        self._held: list[tuple[int, int, int]] = []
        self._pieces: list[Patches] = []
        self._base, self._gathered, self._bank = -1, 0, 0
        self._hold = DRAIN
        context.macs[gate.name] = len(self.tiles) * gate.weight.size

    @property
    def left(self) -> bool:
        """Whether any step is left."""
        return bool(self._held or self._blocks)

    @property
    def held(self) -> bool:
        """Whether the next step is of a block whose patches have been gathered early."""
        return bool(self._held)

    def hold(self, cycles: int) -> None:
        """Hold back at most so many of the array's cycles, as others do, too."""
        self._hold = cycles

    def advance(self, rows: int) -> None:
        """Gather what needs no more than the first ``rows`` rows of the pooled map; multiply what is not held back."""
        while self._blocks and self._gather_early(rows):
            self._held.append((self._base, *self._blocks.pop(0)))
            self._gathered = 0
            while len(self._held) * self._cycles(self.slices) > self._hold:
                self.step()

    def step(self) -> int:
        """Emit the next product, and the bits of a block behind its last; about the array's cycles.

        The pooled map is complete, but for what is held.
        """
        if self._held:
            base, first, count = self._held.pop(0)
            self.context.next_bank()
            self._multiply(Patches(base, padded_vectors(count), Slices(0, self.slices)), first, count)
            self._finish(base, first, count)
            return self._cycles(self.slices)
        first, count = self._blocks[0]
        if PATCH_SHARE * self.slices * padded_vectors(count) > self.context.patches.size:
            self._product_in_pieces(first, count)
            self._blocks.pop(0)
            return self._cycles(self.slices)
        if not self._pieces:
            self._gather_rest(first, count)
            self._bank = self.context.keep_bank()
        piece = self._pieces.pop(0)
        self.context.bank = self._bank
        self._multiply(piece, first, count)
        if not self._pieces:
            self.context.release_bank(self._bank)
            self._finish(self._base, first, count)
            self._blocks.pop(0)
            self._gathered = 0
        return self._cycles(piece.slices.count)

    def _cycles(self, slices: int) -> int:
        return slices * ACCUMULATOR_LATENCY

    def _gather_early(self, rows: int) -> bool:
        """Gather what can be of the next block; whether that is all of it."""
        first, count = self._blocks[0]
        words = self.slices * padded_vectors(count)
        in_pieces = PATCH_SHARE * words > self.context.patches.size
        if not self._gathered and (in_pieces or not self.context.may_begin_early(words)):
            return False
        ready = sum(self._bottom(cell) <= rows for cell in range(first, first + count))
        if ready < count:
            ready = ready // REGION_UNIT * REGION_UNIT
        if ready > self._gathered:
            self._gather(first, ready, padded_vectors(count), Slices(0, self.slices))
            self._gathered = ready
        return ready == count

    def _gather_rest(self, first: int, count: int) -> None:
        """Gather the cells of a block that are left, a piece of the reduction at a time."""
        vectors = padded_vectors(count)
        count_of_pieces = GATHER_PIECES if (count - self._gathered) * self.slices > LONG_GATHER * PIECE_UNIT else 1
        pieces = pieces_of(self.slices, -(-self.slices // count_of_pieces), PIECE_UNIT)
        for piece in pieces:
            self._gather(first, count, vectors, piece)
        region = Patches(self._base, vectors, Slices(0, self.slices))
        self._pieces = [region.piece(piece) for piece in pieces]

    def _bottom(self, cell: int) -> int:
        """Rows of the pooled map that a cell of the grid needs."""
        row = cell // self.gate.grid[1]
        return min(self.source.height, row * self.gate.stride - self.gate.padding + self.kernel.height)

    def _gather(self, first: int, ready: int, vectors: int, piece: Slices) -> None:
        """Gather the cells of a block up to ``ready``, but for those that are gathered."""
        if not self._gathered and not piece.first:
            self._base = self.context.take_patches(self.slices * vectors)
        region = Patches(self._base + piece.first * vectors + self._gathered, vectors, piece)
        low, width = first + self._gathered, self.gate.grid[1]
        gather_into(self.context, self.source, width, self.tiles, low, ready - self._gathered, self.kernel, region)

    def _product_in_pieces(self, first: int, count: int) -> None:
        """The product of patches that are too long to be held whole."""
        context, vectors = self.context, padded_vectors(count)
        context.next_bank()
        for piece in patch_pieces(Slices(0, self.slices), self.slices, vectors, context.patches.size):
            width = self.gate.grid[1]
            patches = gather(context, self.source, width, self.tiles, first, count, self.kernel, piece)
            self._multiply(patches, first, count)
            context.patches_multiplied(patches.base)
        threshold(context, self.gate.name, self.mask, first, self.gate.grid[1], self._sizes(first, count))

    def _finish(self, base: int, first: int, count: int) -> None:
        self.context.patches_multiplied(base)
        threshold(self.context, self.gate.name, self.mask, first, self.gate.grid[1], self._sizes(first, count))

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
        sizes = self._sizes(first, count)
        multiply(self.context, self.loader, self.gate.name, self.source, self.kernel.taps, patches, sizes)


class ChannelWork:
    """The vector of a gate on an average. Most of the pooled map can be gathered before its last rows are there."""

    def __init__(
        self, context: Context, loader: FilterLoader, gate: QuantisedAverageGate, source: SourceMap, mask: int
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

    def begin(self) -> None:
        """Sum the pixels of the pooled map, which is complete, or multiply those that have been gathered early."""
        self.average = self.average or self._average()
        self.average.begin()

    @property
    def sum_cycles(self) -> int:
        """As ``hidden_cycles``, between the map and the sum of its pixels, if they are summed first."""
        if self.average is None or not self.average.summed:
            return 0
        blocks = -(-self.source.channels // self.context.arch.columns)
        return WAIT_CYCLES + blocks * self.source.height * self.source.width

    @property
    def hidden_cycles(self) -> int:
        """The array's cycles that a spatial gate may have between the product and the hidden layer."""
        return WAIT_CYCLES + (len(self.average.tiles) if self.average else 0)

    @property
    def early_cycles(self) -> int:
        """The array's cycles for the pixels that have been gathered early."""
        return self.average.gathered * self.average.slices if self.average else 0

    def finish(self) -> None:
        """Gather what is left, multiply, sum, requantise."""
        average = self.average or self._average()
        average.finish()

    def _average(self) -> AverageProduct:
        gate, context = self.gate, self.context
        context.macs[gate.name] = 0
        return AverageProduct(
            context,
            self.loader,
            gate.vector_name,
            gate.name,
            self.source,
            len(gate.average_weight),
            context.image.addresses[gate.vector_name],
            EpilogueKind.REDUCE,
            gate.relu,
        )


def threshold(context: Context, name: str, mask: int, first_bit: int, width: int, sizes: dict[str, int]) -> None:
    """Bits of a mask from ``first_bit`` on: the signs of a product whose entries are complete."""
    entry = context.image.parameter_entry[name]
    low = entry + sizes.get("first_filter", 0)
    bits = sizes["filter_count"] if sizes["stationary"] == Stationary.FILTERS else sizes["pixel_count"]
    context.out.emit(
        Opcode.EPILOGUE,
        [
            reads("accumulator", context.bank, context.bank + 1),
            Access("parameter", low, low + sizes["filter_count"], early=True),
            writes("mask", mask + first_bit // MASK_BITS, mask + (first_bit + bits - 1) // MASK_BITS + 1),
        ],
        kind=EpilogueKind.THRESHOLD,
        destination=mask * MASK_BITS + first_bit,
        out_height=1,
        out_width=width,
        bank=context.bank,
        parameters=entry,
        **sizes,
    )
