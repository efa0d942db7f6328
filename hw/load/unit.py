"""LOAD: addresses of bursts out, beats of data in, and the completion of loads in order."""

from __future__ import annotations

from typing import ClassVar

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.axi import ADDRESS_BITS, OKAY
from gatewright.contract.isa import Space, Unit
from gatewright.contract.timing import DECODE_LATENCY, LOAD_LATENCY
from gatewright.hw.bus import read_bus
from gatewright.hw.control.queue import HeadQueue
from gatewright.hw.control.signatures import boot_signature, head_signature, progress_signature
from gatewright.hw.load.issue import BurstIssue
from gatewright.hw.load.prepare import PREPARE_LATENCY, LoadPreparation, boot_order, order_layout, transfer_layout
from gatewright.hw.load.writer import LoadWriter
from gatewright.hw.signatures import (
    instruction_write,
    parameter_write,
    scratchpad_write,
    table_counts,
    table_read,
    table_write_row,
    weight_write,
)

assert PREPARE_LATENCY <= DECODE_LATENCY


class LoadUnit(wiring.Component):
    """LOAD, and the boot load, which is one that nothing counts.

    Three machines that run apart: burst addresses (``BurstIssue``), the data's way into the memories (``LoadWriter``)
    and completion. A queue of loads is between the first two; it has room for ``outstanding``, since each load in it
    but the one that is being issued has its last burst in flight. Completion is the last beat's arrival, LOAD_LATENCY
    cycles later; a load without rows waits for those before it, and no other is taken meanwhile.

    ``halt``: send no more addresses. ``quiet``: no burst is in flight. ``error``: a beat came with an error response.
    """

    MEMORY_PORTS: ClassVar = {
        "table": "tables.load",
        "rows": "tables.load_row",
        "scratchpad": "scratchpad.load",
        "weights": "weight_buffer.write",
        "parameters": "parameters.write",
        "instructions": "sequencer.write",
    }

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "queue": Out(head_signature(Unit.LOAD)),
                "progress": Out(progress_signature()),
                "boot": In(boot_signature(arch)),
                "base": In(ADDRESS_BITS),
                "counts": In(table_counts(arch)),
                "rows": Out(table_read()),
                "bus": Out(read_bus()),
                "scratchpad": Out(scratchpad_write(BEAT_BYTES)),
                "weights": Out(weight_write(arch)),
                "parameters": Out(parameter_write(arch)),
                "table": Out(table_write_row(arch)),
                "instructions": Out(instruction_write(arch)),
                "halt": In(1),
                "quiet": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arch = self._arch
        m.submodules.prepare = prepare = LoadPreparation(arch)
        m.submodules.issue = issue = BurstIssue(arch)
        m.submodules.writer = writer = LoadWriter(arch)
        m.submodules.transfers = transfers = HeadQueue(transfer_layout(arch), arch.dram.outstanding)
        order = Signal(order_layout(arch))
        start = Signal()
        waiting = Signal()
        m.d.comb += [
            prepare.head.eq(self.queue.head.operands),
            prepare.base.eq(self.base),
            prepare.counts.eq(self.counts),
            self.queue.take.eq(self.queue.valid & self.queue.waits_met & ~issue.busy & ~waiting),
            start.eq(self.queue.take | self.boot.start),
            order.eq(Mux(self.boot.start, boot_order(m, arch, self.boot, self.base), prepare.order)),
            issue.order.eq(order),
            issue.start.eq(start & ~order.empty),
            issue.boot.eq(self.boot.start),
            self.progress.start.eq(self.queue.take),
            self.progress.run.eq(self.queue.take),
        ]
        wiring.connect(m, issue.rows, wiring.flipped(self.rows))
        for memory in ("scratchpad", "weights", "parameters", "table", "instructions"):
            wiring.connect(m, getattr(writer, memory), wiring.flipped(getattr(self, memory)))
        self._address_channel(m, issue, transfers, order)
        m.d.comb += [
            writer.next.eq(transfers.head),
            writer.next_valid.eq(transfers.present),
            transfers.take.eq(writer.next_taken),
        ]
        self._data_channel(m, writer)
        self._complete(m, writer, start, order, waiting)
        return m

    def _address_channel(self, m: Module, issue: BurstIssue, transfers: HeadQueue, order: data.View) -> None:
        """The AR register, and the bursts in flight: from the cycle after an address to the cycle after its end."""
        bus = self.bus
        flying = Signal(range(self._arch.dram.outstanding + 1))
        send = Signal()
        transfer = Signal(transfer_layout(self._arch), reset_less=True)
        m.d.comb += [
            send.eq(
                issue.valid & (flying != self._arch.dram.outstanding) & ~self.halt & (~bus.ar_valid | bus.ar_ready)
            ),
            issue.take.eq(send),
            transfers.push.eq(send & issue.first),
            transfers.entry.eq(transfer),
            self.quiet.eq(flying == 0),
        ]
        with m.If(issue.start):
            m.d.sync += transfer.eq(order.transfer)
        m.d.sync += flying.eq(flying + send - (bus.r_valid & bus.r_last))
        with m.If(send):
            m.d.sync += [
                bus.ar_valid.eq(1),
                bus.ar_address.eq(Cat(Const(0, ceil_log2(BEAT_BYTES)), issue.address)),
                bus.ar_length.eq(issue.length),
            ]
        with m.Elif(bus.ar_ready):
            m.d.sync += bus.ar_valid.eq(0)

    def _data_channel(self, m: Module, writer: LoadWriter) -> None:
        bus = self.bus
        m.d.comb += [bus.r_ready.eq(1), writer.valid.eq(bus.r_valid), writer.data.eq(bus.r_data)]
        with m.If(bus.r_valid & (bus.r_response != OKAY)):
            m.d.sync += self.error.eq(1)

    def _complete(self, m: Module, writer: LoadWriter, start: Signal, order: data.View, waiting: Signal) -> None:
        """Completions: a delay line behind the last beats, and a countdown for a load without rows (``waiting``)."""
        line = Signal(LOAD_LATENCY)
        pending = Signal(range(self._arch.dram.outstanding + LOAD_LATENCY + 2))
        countdown = Signal(range(LOAD_LATENCY))
        booting = Signal()
        empty_done, done = Signal(), Signal()
        # Registers: the countdown is at 0, and nothing is pending. While a load without rows waits, no other begins.
        due, nothing = Signal(), Signal()
        m.d.sync += [due.eq(countdown <= 1), nothing.eq(pending == line[-1])]
        m.d.sync += line.eq(Cat(writer.last, line))
        m.d.comb += [
            empty_done.eq(waiting & due & nothing),
            done.eq(line[-1] | empty_done),
            self.progress.retire.eq(done & ~booting),
        ]
        m.d.sync += pending.eq(pending + (start & ~order.empty) - line[-1])
        with m.If(self.boot.start):
            m.d.sync += [booting.eq(1), self.boot.done.eq(0)]
        with m.Elif(done & booting):
            m.d.sync += [booting.eq(0), self.boot.done.eq(1)]
        with m.If(start & order.empty):
            # Its completion is seen LOAD_LATENCY cycles after the start; the retiring cycle is the one before.
            m.d.sync += [waiting.eq(1), countdown.eq(LOAD_LATENCY - 2), due.eq(0)]
        with m.Elif(empty_done):
            m.d.sync += waiting.eq(0)
        with m.Elif(countdown != 0):
            m.d.sync += countdown.eq(countdown - 1)
        to_table = start & (order.transfer.space == Space.TABLE)
        m.d.comb += [
            writer.start_table.eq(to_table & ~order.empty),
            writer.set_empty.eq(to_table & order.empty),
            writer.empty_table.eq(order.transfer.address),
            writer.empty_count.eq(order.transfer.limit),
        ]
