"""The cells of a block design: their pins, buses, address blocks and spaces.

Those of the vendor are written down by hand, from the vendor's guides: that Vivado agrees is not proved. The machine's
come from its IP's own description.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

SPIRIT = {"spirit": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"}


@dataclass
class Kind:
    """A cell's type: pins outside of buses with their direction, buses with their mode, address blocks and spaces."""

    pins: dict[str, str]
    buses: dict[str, str] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    needs: dict[str, str] = field(default_factory=dict)
    """The property without which a pin, bus or segment is not there."""
    clocked: dict[str, str] = field(default_factory=dict)
    """The clock pin of a bus."""


def _smartconnect() -> Kind:
    buses = {f"S0{n}_AXI": "slave" for n in range(4)} | {f"M0{n}_AXI": "master" for n in range(4)}
    needs = {name: f"CONFIG.NUM_{name[0]}I>{name[2]}" for name in buses}
    return Kind({"aclk": "in", "aresetn": "in"}, buses, needs=needs, clocked=dict.fromkeys(buses, "aclk"))


KINDS: dict[str, Kind] = {
    "zynq_ultra_ps_e": Kind(
        {
            "pl_clk0": "out",
            "pl_resetn0": "out",
            "pl_ps_irq0": "in",
            "maxihpm0_fpd_aclk": "in",
            "saxihp0_fpd_aclk": "in",
        },
        {"M_AXI_HPM0_FPD": "master", "S_AXI_HP0_FPD": "slave"},
        ("SAXIGP2/HP0_DDR_LOW", "SAXIGP2/HP0_QSPI", "SAXIGP2/HP0_LPS_OCM"),
        ("Data",),
        {
            "pl_ps_irq0": "CONFIG.PSU__USE__IRQ0",
            "pl_clk0": "CONFIG.PSU__FPGA_PL0_ENABLE",
            "maxihpm0_fpd_aclk": "CONFIG.PSU__USE__M_AXI_GP0",
            "M_AXI_HPM0_FPD": "CONFIG.PSU__USE__M_AXI_GP0",
            "saxihp0_fpd_aclk": "CONFIG.PSU__USE__S_AXI_GP2",
            "S_AXI_HP0_FPD": "CONFIG.PSU__USE__S_AXI_GP2",
        },
        {"M_AXI_HPM0_FPD": "maxihpm0_fpd_aclk", "S_AXI_HP0_FPD": "saxihp0_fpd_aclk"},
    ),
    "clk_wiz": Kind({"clk_in1": "in", "resetn": "in", "clk_out1": "out", "locked": "out"}),
    "proc_sys_reset": Kind(
        {
            "slowest_sync_clk": "in",
            "ext_reset_in": "in",
            "dcm_locked": "in",
            "peripheral_reset": "out",
            "peripheral_aresetn": "out",
            "interconnect_aresetn": "out",
        }
    ),
    "smartconnect": _smartconnect(),
    "axi_intc": Kind(
        {"s_axi_aclk": "in", "s_axi_aresetn": "in", "intr": "in", "irq": "out"},
        {"s_axi": "slave"},
        ("S_AXI/Reg",),
        needs={"irq": "CONFIG.C_IRQ_CONNECTION"},
        clocked={"s_axi": "s_axi_aclk"},
    ),
}


def machine_kind(component: Path) -> tuple[str, Kind]:
    """The machine as its component.xml describes it: its VLNV, and its type."""
    root = ET.parse(component).getroot()

    def text(path: str, of: ET.Element = root) -> str:
        found = of.find(path, SPIRIT)
        assert found is not None and found.text is not None, path
        return found.text

    pins = {text("spirit:name", p): text("spirit:wire/spirit:direction", p) for p in root.iter(_tag("port"))}
    kind = Kind(pins)
    for interface in root.iter(_tag("busInterface")):
        name, bus = text("spirit:name", interface), interface.find("spirit:busType", SPIRIT)
        assert bus is not None
        if bus.get(_tag("name")) == "aximm":
            space = interface.find("spirit:master/spirit:addressSpaceRef", SPIRIT)
            kind.buses[name] = "slave" if space is None else "master"
            kind.clocked[name] = "clk"
            kind.spaces += () if space is None else (str(space.get(_tag("addressSpaceRef"))),)
            for port in interface.iterfind(".//spirit:physicalPort", SPIRIT):
                del pins[text("spirit:name", port)]
    for block in root.iter(_tag("memoryMap")):
        kind.segments += (f"{text('spirit:name', block)}/{text('spirit:addressBlock/spirit:name', block)}",)
    vlnv = ":".join(text(f"spirit:{name}") for name in ("vendor", "library", "name", "version"))
    return vlnv, kind


def _tag(name: str) -> str:
    return f"{{{SPIRIT['spirit']}}}{name}"
