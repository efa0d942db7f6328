"""What ARRAY knows of the MATMUL at the head of its queue before it is taken: sizes and first addresses."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from gatewright.contract.arch import ACCUMULATOR_BANKS, OPERAND_BANKS, ArchConfig
from gatewright.contract.isa import NO_TABLE, Opcode, Stationary
from gatewright.hw.array.operand_fetch import BANK_BITS, QUAD_BITS, VECTOR_BITS, origin_layout
from gatewright.hw.control.sizes import Sizes
from gatewright.hw.layouts import operand_layout
from gatewright.hw.signatures import patch_address_bits, table_counts, weight_address_bits

SLICE_BITS = operand_layout(Opcode.MATMUL)["slice_count"].width


def matmul_layout(arch: ArchConfig) -> data.StructLayout:
    """A MATMUL's sizes.

    ``length``: streamed vectors; ``first_block``: stationary vectors of the first block, ``rest``: those behind it;
    ``single``: they are loaded one a cycle; ``zero``: the reduction is empty.
    """
    return data.StructLayout(
        {
            "filters_stand": 1,
            "length": VECTOR_BITS,
            "first_block": bits_for(arch.columns),
            "rest": VECTOR_BITS,
            "slices": SLICE_BITS,
            "single": 1,
            "zero": 1,
            "bank": ceil_log2(ACCUMULATOR_BANKS),
            "accumulate": 1,
        }
    )


def start_layout(arch: ArchConfig) -> data.StructLayout:
    """Where a MATMUL begins: in the operand buffers, and its first accumulator entry."""
    return data.StructLayout(
        {
            "patch": origin_layout(patch_address_bits(arch)),
            "weights": origin_layout(weight_address_bits(arch)),
            "entry": ceil_log2(arch.accumulator_depth),
        }
    )


class ArrayPrepare(wiring.Component):
    """A pipeline from the head and the tables' counts, fed in every cycle.

    ``matmul`` and ``empty`` are right Sizes.LATENCY cycles after the inputs stand still, ``start`` after one: base plus
    first vector.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "head": In(operand_layout(Opcode.MATMUL)),
                "counts": In(table_counts(arch)),
                "matmul": Out(matmul_layout(arch)),
                "start": Out(start_layout(arch)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        head, matmul, columns = self.head, self.matmul, self._arch.columns
        m.submodules.sizes = sizes = Sizes(Opcode.MATMUL, self._arch)
        filters_stand, listed = Signal(), Signal()
        # Pixels and filters are there a cycle before the rest of the sizes.
        standing, length = Signal(VECTOR_BITS, reset_less=True), Signal(VECTOR_BITS, reset_less=True)
        m.d.sync += [
            standing.eq(Mux(filters_stand, sizes.filters, sizes.pixels)),
            length.eq(Mux(filters_stand, sizes.pixels, sizes.filters)),
        ]
        m.d.comb += [
            sizes.head.eq(head),
            sizes.counts.eq(self.counts),
            self.empty.eq(sizes.empty),
            filters_stand.eq(head.stationary == Stationary.FILTERS),
            listed.eq((head.filter_table != NO_TABLE) & ~head.in_order),
            matmul.filters_stand.eq(filters_stand),
            matmul.length.eq(length),
            matmul.first_block.eq(Mux(standing > columns, columns, standing)),
            matmul.rest.eq(Mux(standing > columns, standing - columns, 0)),
            matmul.slices.eq(sizes.slices),
            matmul.single.eq(filters_stand & listed),
            matmul.zero.eq(sizes.no_reduction),
            matmul.bank.eq(head.bank),
            matmul.accumulate.eq(head.accumulate),
        ]
        patch, weights = self.start.patch, self.start.weights
        self._begin(m, patch, head.patch_base, head.patch_vectors, head.first_pixel)
        # With a list, its entries are added to the address of vector 0; in order, its first one is that vector.
        from_zero = listed | head.in_order
        self._begin(m, weights, head.weight_base, head.weight_vectors, Mux(from_zero, 0, head.first_filter))
        m.d.comb += [
            self.start.entry.eq(head.accumulator),
            weights.listed.eq(listed),
            weights.table.eq(head.filter_table),
            weights.begin.eq(head.first_filter),
        ]
        return m

    def _begin(self, m: Module, origin: Any, base: Any, vectors: Any, first: Any) -> None:
        """The origin of vector ``first`` in a region of ``vectors`` whose first slice used is at word 4 * ``base``."""
        name = f"origin_{len(vectors)}"
        address = Signal(origin.address.shape(), name=f"{name}_address", reset_less=True)
        step = Signal(QUAD_BITS, name=f"{name}_step")
        m.d.comb += [
            step.eq(vectors[BANK_BITS:]),
            origin.address.eq(address),
            origin.place.low.eq(first[:BANK_BITS]),
            origin.place.quad.eq(first[BANK_BITS:]),
            origin.place.turn.eq(self.head.first_slice % OPERAND_BANKS),
            origin.step.eq(step),
        ]
        m.d.sync += address.eq(base + first[BANK_BITS:])
