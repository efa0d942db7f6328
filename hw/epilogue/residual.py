"""The residual's way into the epilogue, and that of windows: read ahead in the cycles that no result needs."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import MOST_COLUMNS, ArchConfig
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS, SCRATCHPAD_READ, lanes, scratchpad_read

DEPTH = 8
"""Pixels whose residual is read ahead."""
READ_BYTES = MOST_COLUMNS


class ResidualFetch(wiring.Component):
    """A queue of DEPTH residuals, or pixels of windows, filled from their addresses in order.

    While ``enable``: each cycle with an address (``available``) and a ``port_free`` reads one, as long as there is
    room; ``advance`` takes that address. A pixel ``outside`` the map is not read, but has its place in the queue, with
    any bytes, which nobody uses. ``take`` removes the residual that is at ``data``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._columns = arch.columns
        super().__init__(
            {
                "clear": In(1),
                "enable": In(1),
                "port_free": In(1),
                "available": In(1),
                "address": In(SCRATCHPAD_ADDRESS_BITS),
                "outside": In(1),
                "advance": Out(1),
                "read": Out(scratchpad_read(READ_BYTES)),
                "data": Out(lanes(arch.columns)),
                "take": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = memory.Memory(shape=8 * self._columns, depth=DEPTH, init=[])
        write, head = queue.write_port(), queue.read_port(domain="comb")
        held, room = Signal(range(DEPTH + 1)), Signal(init=1)
        arrives = Signal(SCRATCHPAD_READ)
        m.d.comb += [
            self.advance.eq(self.enable & self.port_free & self.available & room),
            self.read.valid.eq(self.advance & ~self.outside),
            self.read.address.eq(self.address),
            write.data.eq(Cat(*(self.read.data[lane] for lane in range(self._columns)))),
            write.en.eq(arrives[-1]),
            self.data.eq(head.data),
        ]
        m.d.sync += [
            held.eq(held + self.advance - self.take),
            # following != DEPTH, without the sum: as there is room for what advances.
            room.eq(~((held == DEPTH) | ((held == DEPTH - 1) & self.advance)) | self.take),
            arrives.eq(Cat(self.advance, arrives[:-1])),
            write.addr.eq(write.addr + write.en),
            head.addr.eq(head.addr + self.take),
        ]
        with m.If(self.clear):
            m.d.sync += [held.eq(0), room.eq(1), write.addr.eq(0), head.addr.eq(0)]
        return m
