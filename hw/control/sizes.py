"""Section 3 of the machine's page: what the tables' counts leave of the instruction at the head of a queue."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import FORMATS, NO_TABLE, Only, Opcode
from gatewright.hw.layouts import operand_layout
from gatewright.hw.signatures import count_bits, table_counts


def reciprocal(divisor: int, largest: int) -> tuple[int, int]:
    """(multiplier, shift) with ``n // divisor == n * multiplier >> shift`` for all n from 0 to ``largest``."""
    shift = 0
    while True:
        multiplier = -(-(1 << shift) // divisor)
        # Rounding the multiplier up adds n * error / (divisor << shift): less than 1 / divisor changes no quotient.
        if largest * (multiplier * divisor - (1 << shift)) < 1 << shift:
            return multiplier, shift
        shift += 1


class Sizes(wiring.Component):
    """The effective sizes of a GATHER, a MATMUL or an EPILOGUE, right LATENCY cycles after the inputs stand still.

    Stages: the count of each table; subtract and clamp; multiply; subtract and clamp, or divide by ``rows``; clamp.
    The head's fields are not pipelined: they stand still, only counts change. Members, all registers but ``pixels``, a
    choice behind some:

    * all units: ``tiles``; ``chunk`` vectors in them; ``empty``: no effective work;
    * MATMUL, EPILOGUE: ``pixels``, ``filters``, a cycle before the others;
    * GATHER, MATMUL: ``channels`` that are read of a pixel; GATHER: ``pixel``, bytes to the next one;
    * MATMUL: ``reduction`` = taps * channels, ``slices``, ``no_reduction``: it is 0;
    * EPILOGUE: ``stored``, the channels stored per pixel of the output.
    """

    LATENCY = 5

    def __init__(self, opcode: Opcode, arch: ArchConfig) -> None:
        self._opcode = opcode
        self._rows, self._count_bits = arch.rows, count_bits(arch)
        bits = self._bits = {field.name: field.bits for field in FORMATS[opcode].fields}
        # Channels by table may be more than the field of the instruction can say.
        stored = max(bits["channels"], count_bits(arch))
        results = {"tiles": bits["tile_count"], "chunk": bits["tile_count"] + 2 * bits["tile"], "empty": 1}
        if opcode == Opcode.EPILOGUE:
            results["stored"] = stored
        else:
            results["channels"] = stored
        if opcode == Opcode.GATHER:
            results["pixel"] = stored
        else:
            results |= {"pixels": bits["pixel_count"], "filters": bits["filter_count"]}
        if opcode == Opcode.MATMUL:
            results |= {"reduction": bits["taps"] + stored, "no_reduction": 1, "slices": bits["slice_count"]}
        self._results = results
        super().__init__(
            {
                "head": In(operand_layout(opcode)),
                "counts": In(table_counts(arch)),
                **{name: Out(width) for name, width in results.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        head = self.head
        results: dict[str, Any] = {
            name: Signal(width, name=f"{name}_q", reset_less=True) for name, width in self._results.items()
        }
        m.d.comb += [getattr(self, name).eq(register) for name, register in results.items() if name != "pixels"]
        self._limit_by_table(m, head.tile_table, head.first_tile, head.tile_count, results["tiles"])
        area = Signal(2 * self._bits["tile"], reset_less=True)
        m.d.sync += [area.eq(head.tile * head.tile), results["chunk"].eq(results["tiles"] * area)]
        if self._opcode == Opcode.EPILOGUE:
            stored = Mux(head.compact, self.counts[head.filter_table], head.channels)
            m.d.sync += results["stored"].eq(stored)
        else:
            listed = head.channel_table != NO_TABLE
            channels = Mux(listed, self.counts[head.channel_table], head.channels)
            m.d.sync += results["channels"].eq(channels)
        if self._opcode == Opcode.GATHER:
            m.d.sync += results["pixel"].eq(Mux(head.pixel_channels.any(), head.pixel_channels, channels))
            bare = (head.tile == 0) | (head.kernel_height == 0) | (head.kernel_width == 0)
            filters = Signal(self._count_bits, name="filters_count", reset_less=True)
            no_filters = Signal(name="no_filters", reset_less=True)
            listing = head.filter_table != NO_TABLE
            m.d.sync += [
                filters.eq(self.counts[head.filter_table]),
                no_filters.eq(listing & (filters <= head.first_filter)),
                results["empty"].eq(bare | no_filters | (results["tiles"] == 0) | (results["channels"] == 0)),
            ]
            return m
        self._limit_by_table(
            m, head.filter_table, head.first_filter, head.filter_count, results["filters"], only=head.only
        )
        # Behind a multiplier there is no time for the choice.
        results["pixels"] = self._late_clamp(m, results["chunk"], head.first_pixel, head.pixel_count)
        m.d.comb += self.pixels.eq(results["pixels"])
        nothing = (results["pixels"] == 0) | (results["filters"] == 0)
        if self._opcode == Opcode.MATMUL:
            # Not of the product, which is late.
            none = results["no_reduction"]
            m.d.sync += [
                results["reduction"].eq(head.taps * results["channels"]),
                none.eq((head.taps == 0) | (results["channels"] == 0)),
            ]
            whole = self._whole_slices(m, results["reduction"], none)
            self._clamp(m, whole, head.first_slice, head.slice_count, results["slices"])
            nothing = nothing | (whole <= head.first_slice) | (head.slice_count == 0)
        m.d.sync += results["empty"].eq(nothing)
        return m

    @staticmethod
    def _clamp(
        m: Module, value: Any, first: Any, limit: Any, result: Signal, direct: Any = 0, only: Any = Only.ALWAYS.value
    ) -> None:
        """``result`` = ``direct`` ? limit : clamp(value - first, 0, limit), a cycle later; 0 if ``only`` says so.

        ``first``, ``limit`` and ``only`` stand still, so that both bounds are compared at once.
        """
        end = Signal(bits_for((1 << len(first)) + (1 << len(limit)) - 2), name=f"{result.name}_end", reset_less=True)
        # Between the bounds the difference is less than the limit, so its low bits are all of it.
        inside = (value - first)[: len(result)]
        all_of_them, fewer = Mux(only == Only.FEWER, 0, limit), Mux(only == Only.ALL, 0, inside)
        m.d.sync += [
            end.eq(first + limit),
            result.eq(Mux(direct | (value >= end), all_of_them, Mux(value <= first, 0, fewer))),
        ]

    @staticmethod
    def _late_clamp(m: Module, value: Any, first: Any, limit: Any) -> Any:
        """The same with the choice behind the registers."""
        end = Signal(bits_for((1 << len(first)) + (1 << len(limit)) - 2), reset_less=True)
        over, under = Signal(name="over", reset_less=True), Signal(name="under", reset_less=True)
        inside = Signal(len(limit), name="inside", reset_less=True)
        m.d.sync += [
            end.eq(first + limit),
            over.eq(value >= end),
            under.eq(value <= first),
            inside.eq(value - first),
        ]
        return Mux(over, limit, Mux(under, 0, inside))

    def _limit_by_table(
        self, m: Module, table: Any, first: Any, limit: Any, result: Signal, only: Any = Only.ALWAYS.value
    ) -> None:
        """Entries of a list that an instruction takes, two cycles later."""
        count = Signal(self._count_bits, name=f"{result.name}_count", reset_less=True)
        m.d.sync += count.eq(self.counts[table])
        self._clamp(m, count, first, limit, result, direct=table == NO_TABLE, only=only)

    def _whole_slices(self, m: Module, reduction: Signal, empty: Signal) -> Signal:
        """max(1, ceil(reduction / rows)), two cycles later; exact as far as an instruction's slices can reach.

        ``empty``: the reduction is 0.
        """
        rows = self._rows
        reach = (1 << self._bits["first_slice"]) + (1 << self._bits["slice_count"]) - 2
        # Clipped to as many bits as the longest has, and to ones: no comparison with all of the bits.
        width = bits_for(reach * rows)
        clipped, none = Signal(width, reset_less=True), Signal(reset_less=True)
        longest = (1 << width) - 1
        whole = Signal(bits_for(-(-longest // rows)), reset_less=True)
        multiplier, shift = reciprocal(rows, longest + rows - 1)
        m.d.sync += [
            clipped.eq(reduction[:width] | reduction[width:].any().replicate(width)),
            none.eq(empty),
            whole.eq((((clipped + (rows - 1)) * multiplier) >> shift) | none),
        ]
        return whole
