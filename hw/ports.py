"""The ports of the accelerator, flat and with the names that tools know."""

from __future__ import annotations

from amaranth.lib.wiring import Member, Out, Signature

from gatewright.contract.arch import BEAT_BYTES, PORT_BYTES
from gatewright.contract.isa import UNIT_BITS, UNITS
from gatewright.contract.registers import ADDRESS_BITS
from gatewright.hw.bus import read_bus, write_bus
from gatewright.hw.control.axi_lite import axi_lite_signature
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS, WRITE_COUNT_BITS

LITE_PORTS: dict[str, Member] = dict(axi_lite_signature(ADDRESS_BITS).members)
"""AXI4-Lite, ``s_axi_*``."""

_BUSES: dict[str, Signature] = {"read": read_bus(), "write": write_bus()}

_BUS_MEMBERS = {
    "araddr": ("read", "ar_address"),
    "arlen": ("read", "ar_length"),
    "arvalid": ("read", "ar_valid"),
    "arready": ("read", "ar_ready"),
    "rdata": ("read", "r_data"),
    "rresp": ("read", "r_response"),
    "rlast": ("read", "r_last"),
    "rvalid": ("read", "r_valid"),
    "rready": ("read", "r_ready"),
    "awaddr": ("write", "aw_address"),
    "awlen": ("write", "aw_length"),
    "awvalid": ("write", "aw_valid"),
    "awready": ("write", "aw_ready"),
    "wdata": ("write", "w_data"),
    "wlast": ("write", "w_last"),
    "wvalid": ("write", "w_valid"),
    "wready": ("write", "w_ready"),
    "bresp": ("write", "b_response"),
    "bvalid": ("write", "b_valid"),
    "bready": ("write", "b_ready"),
}

BUS_PORTS: dict[str, tuple[str, str, Member]] = {
    name: (bus, member, _BUSES[bus].members[member]) for name, (bus, member) in _BUS_MEMBERS.items()
}
"""AXI4, ``m_axi_*``: the bus, the member of its signature, and the port."""

CONSTANT_PORTS: dict[str, Member] = {
    "arsize": Out(3),
    "arburst": Out(2),
    "awsize": Out(3),
    "awburst": Out(2),
    "wstrb": Out(BEAT_BYTES),
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
    "write_count": Out(WRITE_COUNT_BITS),
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
