"""An AXI4-Lite slave: turns bus transactions into single register accesses."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.axi import OKAY, SLAVE_ERROR

"""AXI responses."""

FULL_STROBE = 0xF
"""A register is written whole."""


def axi_lite_signature(address_bits: int) -> wiring.Signature:
    """The five channels of a 32-bit AXI4-Lite port, from the slave's side, without protection bits."""
    return wiring.Signature(
        {
            "awaddr": In(address_bits),
            "awvalid": In(1),
            "awready": Out(1),
            "wdata": In(32),
            "wstrb": In(4),
            "wvalid": In(1),
            "wready": Out(1),
            "bresp": Out(2),
            "bvalid": Out(1),
            "bready": In(1),
            "araddr": In(address_bits),
            "arvalid": In(1),
            "arready": Out(1),
            "rdata": Out(32),
            "rresp": Out(2),
            "rvalid": Out(1),
            "rready": In(1),
        }
    )


class AxiLiteSlave(wiring.Component):
    """One write and one read at a time.

    A write is carried out in the cycle in which both its address and its data are there: ``write`` is 1 with
    ``write_address`` (of a word) and ``write_data``. A read takes ``read_data`` of ``read_address`` in the cycle
    behind the address's. An access that the registers refuse (``write_known`` or ``read_known`` 0), or a write of a
    part of a word, is answered with SLVERR and does nothing.
    """

    def __init__(self, address_bits: int) -> None:
        word_bits = address_bits - 2
        super().__init__(
            {
                "bus": Out(axi_lite_signature(address_bits)),
                "write": Out(1),
                "write_address": Out(word_bits),
                "write_data": Out(32),
                "write_known": In(1),
                "read_address": Out(word_bits),
                "read_data": In(32),
                "read_known": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        # Write: both channels are accepted in one cycle, while no answer is waiting.
        accept = Signal()
        whole = Signal()
        m.d.comb += [
            accept.eq(bus.awvalid & bus.wvalid & ~bus.bvalid),
            whole.eq(bus.wstrb == FULL_STROBE),
            bus.awready.eq(accept),
            bus.wready.eq(accept),
            self.write_address.eq(bus.awaddr[2:]),
            self.write_data.eq(bus.wdata),
            self.write.eq(accept & whole & self.write_known),
        ]
        with m.If(accept):
            m.d.sync += [bus.bvalid.eq(1), bus.bresp.eq(SLAVE_ERROR)]
            with m.If(whole & self.write_known):
                m.d.sync += bus.bresp.eq(OKAY)
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        # Read: the address is registered, the registers' mux is registered behind it.
        reading = Signal()
        m.d.comb += bus.arready.eq(~reading & ~bus.rvalid)
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [reading.eq(1), self.read_address.eq(bus.araddr[2:])]
        with m.If(reading):
            m.d.sync += [reading.eq(0), bus.rvalid.eq(1), bus.rdata.eq(self.read_data), bus.rresp.eq(SLAVE_ERROR)]
            with m.If(self.read_known):
                m.d.sync += bus.rresp.eq(OKAY)
        with m.Elif(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        return m
