"""LOAD before its start: what the instruction at the queue's head comes to, as registers."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import OPERAND_BANKS, ArchConfig
from gatewright.contract.axi import ADDRESS_BITS
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.isa import NO_TABLE, Opcode, Space
from gatewright.hw.control.signatures import boot_signature
from gatewright.hw.layouts import operand_layout
from gatewright.hw.lib.divide import reciprocals
from gatewright.hw.signatures import table_counts, weight_address_bits

FIELDS = operand_layout(Opcode.LOAD)
ROW_BITS = FIELDS["rows"].width
POSITION_BITS = max(FIELDS["first_row"].width, ROW_BITS) + 1
"""Width of a row's number, or of its position in a table, and of the one behind the last."""

GROUP_BITS = FIELDS["vectors"].width - ceil_log2(OPERAND_BANKS)
"""Width of a number of vectors in units of four."""

PREPARE_LATENCY = 6
"""Registers from the head and the tables' counts to the order."""


def row_beats_bits(arch: ArchConfig) -> int:
    """Width of the beats of a row; page 0 is one row, and may be longer than an instruction can ask for."""
    page_beats = arch.page_instructions * INSTRUCTION_BEATS
    return max(FIELDS["row_beats"].width, ceil_log2(page_beats + 1))


def transfer_layout(arch: ArchConfig) -> data.StructLayout:
    """What the data side needs of a load.

    ``rows_left`` and ``beats_left`` are one less than rows and beats of a row. ``groups``: vectors of the region div 4.
    ``limit``: taps, or slices, or entries of a table. The others are for weights by reduction, whose element k rises
    by the rows read from one tap to the next: ``lane_step`` = rows mod the array's rows, ``slice_step`` = rows div the
    array's rows, mod 4, and in lane addresses ``tap_step`` and, with a carry from the lanes, ``carry_step``.
    """
    return data.StructLayout(
        {
            "space": FIELDS["space"].width,
            "address": FIELDS["address"].width,
            "rows_left": ROW_BITS,
            "beats_left": row_beats_bits(arch),
            "groups": GROUP_BITS,
            "limit": FIELDS["count"].width,
            "lane_step": ceil_log2(arch.rows),
            "slice_step": ceil_log2(OPERAND_BANKS),
            "tap_step": weight_address_bits(arch),
            "carry_step": weight_address_bits(arch),
        }
    )


def order_layout(arch: ArchConfig) -> data.StructLayout:
    """A load as the address side takes it: a row begins at ``origin`` + number * ``stride``.

    Numbers rise from ``first_row`` on; ``listed``: they are those at these positions of ``table``. ``empty``: there is
    nothing to read.
    """
    return data.StructLayout(
        {
            "origin": ADDRESS_BITS,
            "stride": FIELDS["row_stride"].width,
            "table": FIELDS["row_table"].width,
            "first_row": FIELDS["first_row"].width,
            "listed": 1,
            "empty": 1,
            "transfer": transfer_layout(arch),
        }
    )


class LoadPreparation(wiring.Component):
    """``order`` is right PREPARE_LATENCY cycles after ``head``, ``base`` and the tables' counts stand still."""

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "head": In(FIELDS),
                "base": In(ADDRESS_BITS),
                "counts": In(table_counts(arch)),
                "order": Out(order_layout(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        head, order, transfer = self.head, self.order, self.order.transfer
        count = Signal(len(self.counts[0]), reset_less=True)
        end = Signal(POSITION_BITS, reset_less=True)
        rows = Signal(ROW_BITS, reset_less=True)
        listed = head.row_table != NO_TABLE
        m.d.sync += [
            count.eq(Array(self.counts)[head.row_table]),
            end.eq(head.first_row + head.rows),
            rows.eq(head.rows),
        ]
        with m.If(listed & (count < end)):
            m.d.sync += rows.eq(Mux(count < head.first_row, 0, count - head.first_row))
        # Everything else is wide only, not deep.
        m.d.sync += [
            order.origin.eq(head.dram_address + self.base),
            order.stride.eq(head.row_stride),
            order.table.eq(head.row_table),
            order.first_row.eq(head.first_row),
            order.listed.eq(listed),
            order.empty.eq((rows == 0) | (head.row_beats == 0)),
            transfer.space.eq(head.space),
            transfer.address.eq(head.address),
            transfer.rows_left.eq(rows - 1),
            transfer.beats_left.eq(head.row_beats - 1),
            transfer.groups.eq(head.vectors[ceil_log2(OPERAND_BANKS) :]),
            transfer.limit.eq(Mux(head.space == Space.WEIGHTS_BY_REDUCTION, head.taps, head.count)),
        ]
        self._steps(m, rows)
        return m

    def _steps(self, m: Module, rows: Signal) -> None:
        """How far reduction elements and their addresses are apart from tap to tap."""
        transfer = self.order.transfer
        shift, (reciprocal,) = reciprocals((1 << ROW_BITS) - 1, [self._arch.rows])
        scaled = Signal(ROW_BITS + reciprocal.bit_length(), reset_less=True)
        slices = Signal(range(((1 << ROW_BITS) - 1) // self._arch.rows + 1), reset_less=True)
        product = Signal(weight_address_bits(self._arch), reset_less=True)
        m.d.sync += [
            scaled.eq(rows * Const(reciprocal)),
            slices.eq(scaled >> shift),
            transfer.slice_step.eq(slices),
            # The remainder is small: its low bits are enough.
            transfer.lane_step.eq(rows[:4] - (slices[:4] * self._arch.rows)[:4]),
            product.eq(slices * transfer.groups),
            transfer.tap_step.eq(product),
            transfer.carry_step.eq(product + transfer.groups),
        ]


def boot_order(m: Module, arch: ArchConfig, boot: Any, base: Any) -> Any:
    """The load of page 0: one row to the instruction memory. ``boot`` has ``boot_signature``."""
    assert set(boot_signature(arch).members) >= {"address", "beats"}
    order = Signal(order_layout(arch), name="boot_order")
    m.d.comb += [
        order.origin.eq(boot.address + base),
        order.empty.eq(boot.beats == 0),
        order.transfer.space.eq(Space.INSTRUCTIONS),
        order.transfer.beats_left.eq(boot.beats - 1),
    ]
    return order
