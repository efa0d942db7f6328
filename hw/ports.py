"""The ports of the accelerator, flat and with the names that tools know."""

from __future__ import annotations

from amaranth.lib.wiring import In, Member, Out

from gatewright.contract.isa import UNIT_BITS, UNITS
from gatewright.contract.registers import ADDRESS_BITS
from gatewright.hw.control.axi_lite import axi_lite_signature
from gatewright.hw.signatures import BEAT_BITS, PORT_BYTES, SCRATCHPAD_ADDRESS_BITS

LITE_PORTS: dict[str, Member] = dict(axi_lite_signature(ADDRESS_BITS).members)
"""AXI4-Lite, ``s_axi_*``."""

BUS_PORTS: dict[str, tuple[str, str, Member]] = {
    "araddr": ("read", "ar_address", Out(32)),
    "arlen": ("read", "ar_length", Out(8)),
    "arvalid": ("read", "ar_valid", Out(1)),
    "arready": ("read", "ar_ready", In(1)),
    "rdata": ("read", "r_data", In(BEAT_BITS)),
    "rresp": ("read", "r_response", In(2)),
    "rlast": ("read", "r_last", In(1)),
    "rvalid": ("read", "r_valid", In(1)),
    "rready": ("read", "r_ready", Out(1)),
    "awaddr": ("write", "aw_address", Out(32)),
    "awlen": ("write", "aw_length", Out(8)),
    "awvalid": ("write", "aw_valid", Out(1)),
    "awready": ("write", "aw_ready", In(1)),
    "wdata": ("write", "w_data", Out(BEAT_BITS)),
    "wlast": ("write", "w_last", Out(1)),
    "wvalid": ("write", "w_valid", Out(1)),
    "wready": ("write", "w_ready", In(1)),
    "bresp": ("write", "b_response", In(2)),
    "bvalid": ("write", "b_valid", In(1)),
    "bready": ("write", "b_ready", Out(1)),
}
"""AXI4, ``m_axi_*``: the bus, the member of its signature, and the port."""

CONSTANT_PORTS: dict[str, Member] = {
    "arsize": Out(3),
    "arburst": Out(2),
    "awsize": Out(3),
    "awburst": Out(2),
    "wstrb": Out(BEAT_BITS // 8),
}
"""AXI4 ports that never change."""

TRACE_PORTS: dict[str, Member] = {
    "boot": Out(1),
    "dispatch": Out(1),
    "dispatch_unit": Out(UNIT_BITS),
    "control": Out(1),
    "start": Out(UNITS),
    "run": Out(UNITS),
    "retire": Out(UNITS),
    "stop": Out(1),
    "error": Out(1),
    "write": Out(1),
    "write_unit": Out(UNIT_BITS),
    "write_address": Out(SCRATCHPAD_ADDRESS_BITS),
    "write_count": Out(6),
    "write_data": Out(8 * PORT_BYTES),
}
"""``trace_*``: cycle 0, dispatch, s, r and e - 1 of each unit's instructions, the end, and scratchpad writes."""


def port_members() -> dict[str, Member]:
    """All ports by name."""
    return {
        **{f"s_axi_{name}": member for name, member in LITE_PORTS.items()},
        **{f"m_axi_{name}": member for name, (_, _, member) in BUS_PORTS.items()},
        **{f"m_axi_{name}": member for name, member in CONSTANT_PORTS.items()},
        "interrupt": Out(1),
        **{f"trace_{name}": member for name, member in TRACE_PORTS.items()},
    }
