"""Which of a piece's bytes exist: lanes of borders and of inactive tiles of the source read as zero."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import MASK_COLUMNS, ArchConfig
from gatewright.contract.isa import NO_MASK
from gatewright.hw.gather.prepare import INPUT_BITS, OPERANDS, gather_sizes, run_bits
from gatewright.hw.gather.walk import piece_layout
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.divide import reciprocals
from gatewright.hw.lib.rotation import product_by_digits, small_product
from gatewright.hw.signatures import mask_read_columns

TILE_SIZES = 1 << OPERANDS["source_tile"].width
MASK_ADDRESS_BITS = Shape.cast(mask_read_columns().members["bit"].shape).width
BEFORE_BITS = OPERANDS["padding_x"].width
BEFORE = 1 << BEFORE_BITS
"""Tiles of the source by which coordinates are moved right and down: none is negative then, for any padding."""

SHIFT, RECIPROCALS = reciprocals((1 << INPUT_BITS) - 1, range(TILE_SIZES))
LANE_BITS = 6
_ONE_COPY = 2
"""The bit of the grid's width whose copy of the tile's row is added to the column."""

assert OPERANDS["padding_y"].width <= BEFORE_BITS
assert (1 << max(OPERANDS[name].width for name in ("height", "width"))) + BEFORE * TILE_SIZES <= 1 << INPUT_BITS


class GatherMask(wiring.Component):
    """From a piece of the walk (a cycle before its stage 0) to ``kept``, one bit for each of its lanes in stage 4.

    The columns inside the map are a range of the kernel row's columns, so the bytes that exist are a range of its
    bytes, and there is no division by the channels; a row outside the map has none. Of a source mask the bits of up to
    four columns are looked up: the tile of the first one by a multiplication with a reciprocal, those of the others,
    which are the same or follow it, by the remainder. A lane's column comes from comparisons with 1, 2 and 3 times the
    channels.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "piece": In(piece_layout(arch)),
                "running": In(gather_sizes(arch)),
                "mask": Out(mask_read_columns()),
                "kept": Out(arch.gather_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        begin = delayed(m, self.piece.begin, 3, "begin", early=True)
        channels = self.running.channels
        low, high = self._byte_range(m)
        inside = Signal(self._arch.gather_bytes, reset_less=True)
        m.d.sync += inside.eq(~self._below(m, low, begin, "low") & self._below(m, high, begin, "high"))
        first, second, third = (
            self._below(m, bound, begin, f"column_{number}")
            for number, bound in enumerate((channels, channels << 1, self.running.triple), start=1)
        )
        # The lanes' columns, two bits each.
        odd, upper = (Signal(self._arch.gather_bytes, name=name, reset_less=True) for name in ("odd", "upper"))
        m.d.sync += [odd.eq((~first & second) | ~third), upper.eq(~second)]
        active = [bit.replicate(len(inside)) for bit in self._active_columns(m)]
        lower_active, upper_active = ((odd & active[n + 1]) | (~odd & active[n]) for n in (0, 2))
        m.d.comb += self.kept.eq(inside & ((upper & upper_active) | (~upper & lower_active)))
        return m

    def _byte_range(self, m: Module) -> tuple[Signal, Signal]:
        """Stage 2: the first byte of the kernel row inside the map, and the first byte behind those."""
        piece, operands = self.piece, self.running.operands
        columns, channels = self.running.run_columns, self.running.channels
        y = delayed(m, piece.y, 1, "y")
        left_of_map = Signal(len(operands.padding_x), reset_less=True)
        to_edge = Signal(signed(len(piece.x) + 1), reset_less=True)
        m.d.sync += [left_of_map.eq(Mux(piece.x[-1], -piece.x, 0)), to_edge.eq(operands.width - piece.x)]
        first, behind = Signal.like(columns, reset_less=True), Signal.like(columns, reset_less=True)
        m.d.sync += [
            first.eq(Mux(left_of_map < columns, left_of_map, columns)),
            behind.eq(Mux(to_edge < columns, to_edge, columns)),
        ]
        with m.If(y[-1] | (y >= operands.height) | to_edge[-1]):
            m.d.sync += behind.eq(0)
        low, high = (Signal(run_bits(self._arch), name=name, reset_less=True) for name in ("low_byte", "high_byte"))
        triple = self.running.triple
        m.d.sync += [
            low.eq(product_by_digits(channels, triple, first)),
            high.eq(product_by_digits(channels, triple, behind)),
        ]
        return low, high

    def _below(self, m: Module, bound: Value, begin: Value, name: str) -> Value:
        """For stage 4, from values of stage 2: the lanes of the piece before a byte of the kernel row."""
        lanes = self._arch.gather_bytes
        distance = Signal(LANE_BITS, name=f"{name}_lane", reset_less=True)
        difference = Signal(signed(max(len(bound), len(begin)) + 1), name=f"{name}_difference")
        m.d.comb += difference.eq(bound - begin)
        with m.If(difference[-1]):
            m.d.sync += distance.eq(0)
        with m.Elif(difference[LANE_BITS:].any()):
            m.d.sync += distance.eq((1 << LANE_BITS) - 1)
        with m.Else():
            m.d.sync += distance.eq(difference)
        return Cat(lane < distance for lane in range(lanes))

    def _active_columns(self, m: Module) -> list[Value]:
        """Stage 4: for each of four columns whether its tile of the source is active."""
        operands = self.running.operands
        edge = operands.source_tile
        reciprocal = Signal(range(max(RECIPROCALS) + 1), reset_less=True)
        m.d.sync += reciprocal.eq(Array(RECIPROCALS)[edge])
        product_bits = INPUT_BITS + len(reciprocal)
        tiles: list[Value] = []
        moved: list[Signal] = []
        for axis in ("y", "x"):
            place = Signal(INPUT_BITS, name=f"moved_{axis}", reset_less=True)
            product = Signal(product_bits, name=f"product_{axis}", reset_less=True)
            m.d.sync += [place.eq(self.piece[axis] + (edge << BEFORE_BITS)), product.eq(place * reciprocal)]
            moved.append(place)
            tiles.append((product >> SHIFT)[:INPUT_BITS])
        tile_y, tile_x = tiles
        # A product of few bits is a sum of copies: of some in two registers, and one comes with the column. The tiles
        # by which coordinates are moved are BEFORE rows and columns of the grid: the column's lower bits know nothing
        # of them.
        grid, rest_bits = operands.source_grid, MASK_ADDRESS_BITS - _ONE_COPY
        above, far = Signal(MASK_ADDRESS_BITS, reset_less=True), Signal(MASK_ADDRESS_BITS, reset_less=True)
        origin = Signal(MASK_ADDRESS_BITS - BEFORE_BITS, reset_less=True)
        column = Signal(MASK_ADDRESS_BITS, reset_less=True)
        copy = tile_y[:rest_bits] & grid[_ONE_COPY].replicate(rest_bits)
        moved_back = Cat(Const(0, BEFORE_BITS - _ONE_COPY), origin)
        m.d.sync += [
            above.eq(small_product(tile_y, grid[:_ONE_COPY])),
            far.eq(small_product(tile_y, grid[_ONE_COPY + 1 :]) << _ONE_COPY + 1),
            origin.eq(~grid),
            column.eq(Cat(tile_x[:_ONE_COPY], (tile_x[_ONE_COPY:] + copy + moved_back)[:rest_bits])),
        ]
        m.d.comb += [
            self.mask.mask.eq(operands.source_mask),
            self.mask.bit.eq(above + far + column),
        ]
        # The remainder is exact in its few bits, from the product's few.
        split = len(edge) // 2
        whole, more = Signal(len(edge), reset_less=True), Signal(len(edge), reset_less=True)
        rest = Signal(len(edge), reset_less=True)
        place_x = delayed(m, moved[1][: len(edge)], 2, "remainder_x")
        low = tile_x[: len(edge)]
        m.d.sync += [
            whole.eq(small_product(low, edge[:split])),
            more.eq(small_product(low, edge[split:]) << split),
            rest.eq(place_x - whole - more),
        ]
        unmasked = operands.source_mask == NO_MASK
        active: list[Value] = [self.mask.bits[0] | unmasked]
        for column_number in range(1, MASK_COLUMNS):
            steps = Signal(range(MASK_COLUMNS), name=f"steps_{column_number}", reset_less=True)
            reached = rest + column_number
            m.d.sync += steps.eq(sum(reached >= small_product(edge, Const(n)) for n in range(1, column_number + 1)))
            active.append(self.mask.bits.bit_select(steps, 1) | unmasked)
        return active
