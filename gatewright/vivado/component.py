"""The machine as an IP: IP-XACT's ``component.xml`` (IEEE 1685-2009, which Vivado reads), from ports and registers."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

import gatewright
from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.axi import ADDRESS_BITS, BURST_BEATS
from gatewright.contract.registers import REGISTERS, ErrorCode, Register
from gatewright.hw.ports import BUS_PORTS, CONSTANT_PORTS, LITE_PORTS, port_members
from gatewright.hw.verilog.generate import TOP
from gatewright.vivado.address_map import CONTROL_PORT, MEMORY_PORT, REGISTER_BLOCK, SMALLEST_SEGMENT
from gatewright.vivado.render import render

VENDOR, LIBRARY = "gatewright", "accelerator"
IP_VERSION = "1.0"

CLOCK, RESET, INTERRUPT = "clk", "rst", "interrupt"
"""Ports that Amaranth names, and their bus interfaces. The reset is synchronous, and active when 1."""

VERILOG = f"hdl/{TOP}.v"
OUT_OF_CONTEXT = f"constraints/{TOP}_ooc.xdc"
"""Files of the IP, beside ``component.xml``."""

_ACCESS = {"ro": "read-only", "rw": "read-write", "w1": "read-write"}


@dataclass(frozen=True)
class Port:
    """A Verilog port: ``direction`` is in or out."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Interface:
    """A bus interface: its type in Vivado's catalogue, what it is here, and the port of each logical name."""

    name: str
    bus: str
    mode: str
    ports: dict[str, str]
    parameters: dict[str, str | int]

    @property
    def library(self) -> str:
        """The part of Vivado's catalogue that has the type: buses, or signals alone."""
        return "interface" if self.bus == "aximm" else "signal"


def vlnv() -> str:
    """Vendor, library, name and version of the IP."""
    return f"{VENDOR}:{LIBRARY}:{TOP}:{IP_VERSION}"


def ports() -> list[Port]:
    """All ports of the Verilog module, the clock and the reset first."""
    members = {name: (member.flow == In, Shape.cast(member.shape).width) for name, member in port_members().items()}
    whole = {CLOCK: (True, 1), RESET: (True, 1), **members}
    return [Port(name, "in" if inwards else "out", width) for name, (inwards, width) in whole.items()]


def interfaces(arch: ArchConfig) -> list[Interface]:
    """The machine's bus interfaces. Everything that is not one is the trace, which nobody connects."""
    memory = {name.upper(): f"{MEMORY_PORT}_{name}" for name in (*BUS_PORTS, *CONSTANT_PORTS)}
    control = {name.upper(): f"{CONTROL_PORT}_{name}" for name in LITE_PORTS}
    return [
        Interface(
            MEMORY_PORT,
            "aximm",
            "master",
            memory,
            {
                "PROTOCOL": "AXI4",
                "DATA_WIDTH": 8 * BEAT_BYTES,
                "ADDR_WIDTH": ADDRESS_BITS,
                "MAX_BURST_LENGTH": BURST_BEATS,
                "NUM_READ_OUTSTANDING": arch.dram.outstanding,
                "SUPPORTS_NARROW_BURST": 0,
            },
        ),
        Interface(CONTROL_PORT, "aximm", "slave", control, {"PROTOCOL": "AXI4LITE", "DATA_WIDTH": 32}),
        Interface(
            CLOCK,
            "clock",
            "slave",
            {"CLK": CLOCK},
            # No FREQ_HZ: the wizard's clock is a few Hz off, and a block design refuses a frequency that is not equal.
            {"ASSOCIATED_BUSIF": f"{MEMORY_PORT}:{CONTROL_PORT}", "ASSOCIATED_RESET": RESET},
        ),
        Interface(RESET, "reset", "slave", {"RST": RESET}, {"POLARITY": "ACTIVE_HIGH"}),
        Interface(INTERRUPT, "interrupt", "master", {"INTERRUPT": INTERRUPT}, {"SENSITIVITY": "LEVEL_HIGH"}),
    ]


def _fields(register: Register) -> list[dict[str, object]]:
    """Its bits, or all of it as one field; of ERROR_CODE with the names of its values."""
    if register.bits:
        return [
            {
                "name": bit.name,
                "doc": bit.doc,
                "offset": bit.position,
                "width": 1,
                "clears": register.name == "STATUS" and bit.name in ("DONE", "ERROR"),
            }
            for bit in register.bits
        ]
    return [{"name": register.name, "doc": register.doc, "offset": 0, "width": 32, "clears": False}]


def component_xml(arch: ArchConfig) -> str:
    """The text of ``component.xml`` for the machine of that architecture."""
    return render(
        "component.xml",
        vendor=VENDOR,
        library=LIBRARY,
        name=TOP,
        version=IP_VERSION,
        title=f"Gatewright {gatewright.__version__}: {arch.rows}x{arch.columns} array",
        interfaces=interfaces(arch),
        memory_port=MEMORY_PORT,
        control_port=CONTROL_PORT,
        memory_bytes=1 << ADDRESS_BITS,
        memory_width=8 * BEAT_BYTES,
        block=REGISTER_BLOCK,
        block_bytes=SMALLEST_SEGMENT,
        registers=[{"register": r, "access": _ACCESS[r.access], "fields": _fields(r)} for r in REGISTERS],
        error_codes=list(ErrorCode),
        ports=ports(),
        verilog=VERILOG,
        constraints=OUT_OF_CONTEXT,
    )
