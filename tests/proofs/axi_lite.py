"""The control port: no write lost or made twice, every access answered once, and answers that stand still."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Mux, Signal

from gatewright.contract.axi import OKAY, SLAVE_ERROR
from gatewright.contract.registers import ADDRESS_BITS
from gatewright.hw.control.axi_lite import AxiLiteSlave
from tests.mutants.mutant import Mutant
from tests.proofs.bus import check_held, check_stable
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof

_WHOLE = 0b1111
"""All bytes of a word."""


def axi_lite() -> Harness:
    """A master that does what it likes, before registers that hold and refuse what they like."""
    h = Harness()
    slave = AxiLiteSlave(ADDRESS_BITS)
    inside = Inside(slave)
    h.m.submodules.slave = inside.fragment
    bus = slave.bus
    h.free(bus.awaddr, bus.awvalid, bus.wdata, bus.wstrb, bus.wvalid, bus.bready, bus.araddr, bus.arvalid, bus.rready)
    h.free(slave.write_known, slave.read_data, slave.read_known)
    _writes(h, slave)
    _reads(h, slave, inside)
    return h


def _writes(h: Harness, slave: AxiLiteSlave) -> None:
    """A write that is whole and known is carried out in the cycle in which both of its channels are accepted."""
    m, bus = h.m, slave.bus
    owed, right = Signal(name="write_owed"), Signal(name="write_right")
    address, data = bus.awvalid & bus.awready, bus.wvalid & bus.wready
    answered = bus.bvalid & bus.bready
    good = (bus.wstrb == _WHOLE) & slave.write_known
    m.d.sync += owed.eq(address | (owed & ~answered))
    with m.If(address):
        m.d.sync += right.eq(good)
    h.check("both_together", address == data)
    h.check("accepted_at_once", address == (bus.awvalid & bus.wvalid & ~owed))
    h.check("carried_out", slave.write == (address & good))
    place = (slave.write_address == bus.awaddr[2:]) & (slave.write_data == bus.wdata)
    h.check("what_is_written", ~slave.write | place)
    h.check("write_answered", bus.bvalid == owed)
    h.check("write_response", ~bus.bvalid | (bus.bresp == Mux(right, OKAY, SLAVE_ERROR)))
    check_held(h, "write_response", bus.bvalid, bus.bready)
    check_stable(h, "write_response", bus.bvalid, bus.bready, bus.bresp)
    h.cover("one_write_after_the_other", slave.write & h.before(answered & right, "answered_before"))
    h.cover("write_refused", answered & ~right)


def _reads(h: Harness, slave: AxiLiteSlave, inside: Inside) -> None:
    """A read gives what its register holds in the cycle behind its address."""
    m, bus = h.m, slave.bus
    owed, looks, right = Signal(name="read_owed"), Signal(), Signal(name="read_right")
    word, value = Signal.like(slave.read_address), Signal.like(slave.read_data)
    asked, answered = bus.arvalid & bus.arready, bus.rvalid & bus.rready
    m.d.sync += [owed.eq(asked | (owed & ~answered)), looks.eq(asked)]
    with m.If(asked):
        m.d.sync += word.eq(bus.araddr[2:])
    with m.If(looks):
        m.d.sync += [value.eq(slave.read_data), right.eq(slave.read_known)]
    h.check("asked_at_once", asked == (bus.arvalid & ~owed))
    h.check("what_is_read", ~looks | (slave.read_address == word))
    h.check("read_answered", bus.rvalid == (owed & ~looks))
    response: Any = Mux(right, OKAY, SLAVE_ERROR)
    h.check("read_response", ~bus.rvalid | ((bus.rresp == response) & (bus.rdata == value)))
    check_held(h, "read_response", bus.rvalid, bus.rready)
    check_stable(h, "read_response", bus.rvalid, bus.rready, Cat(bus.rdata, bus.rresp))
    h.cover("read_beside_a_write", asked & slave.write & h.before(answered, "read_before"))
    h.cover("read_refused", answered & ~right)
    h.invariant("reading", inside.of(slave, "reading") == looks)
    h.invariant("looks", ~looks | owed)


_FILE = "hw/control/axi_lite.py"

AXI_LITE = Proof(
    "axi-lite",
    "Each write of a whole, known register is made once, in the cycle of its acceptance; each access is answered once, "
    "rightly, and the answer stands still until it is accepted.",
    axi_lite,
    2,
    (
        Mutant(
            "lite-accepts-behind-an-answer",
            _FILE,
            "accept.eq(bus.awvalid & bus.wvalid & ~bus.bvalid)",
            "accept.eq(bus.awvalid & bus.wvalid)",
            "of two writes one answer is lost, and the host waits for ever",
        ),
        Mutant(
            "lite-writes-a-part",
            _FILE,
            "self.write.eq(accept & whole & self.write_known)",
            "self.write.eq(accept & self.write_known)",
            "a write of a byte changes the whole register, and is answered with an error",
        ),
        Mutant(
            "lite-read-not-held",
            _FILE,
            "bus.arready.eq(~reading & ~bus.rvalid)",
            "bus.arready.eq(~reading)",
            "a read changes the data of the one before, which is still on offer",
        ),
        Mutant(
            "lite-answer-falls-by-itself",
            _FILE,
            "with m.Elif(bus.bready):\n            m.d.sync += bus.bvalid.eq(0)",
            "with m.Else():\n            m.d.sync += bus.bvalid.eq(0)",
            "a host that is not ready for the answer never gets it",
        ),
    ),
    search=8,
)
