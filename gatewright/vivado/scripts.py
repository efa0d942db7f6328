"""Vivado's Tcl scripts and constraints for a board, from its file, the machine and the address map."""

from __future__ import annotations

from gatewright.boards import Board
from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.hw.verilog.generate import TOP
from gatewright.vivado import address_map
from gatewright.vivado.component import CLOCK, INTERRUPT, OUT_OF_CONTEXT, RESET, VERILOG, component_xml, vlnv
from gatewright.vivado.render import render

PROJECT = TOP
"""The project, and the files of the overlay."""

DESIGN = "design_1"
"""The block design."""

REFERENCE_MHZ = 100
"""The processor's clock that the clock wizard makes the machine's of."""

STRATEGY = "Performance_Explore"
"""Vivado's strategy for placing and routing."""


def vivado_files(board: Board, arch: ArchConfig) -> dict[str, str]:
    """Texts by path: the IP's description and constraints in ``ip``, scripts in ``vivado``.

    ``arch`` is the board's at the clock that is built. A board without a chip is an error. The Verilog belongs to
    ``ip/hdl``.
    """
    values = {
        "board": board,
        "chip": board.need_chip(),
        "arch": arch,
        "project": PROJECT,
        "design": DESIGN,
        "top": TOP,
        "vlnv": vlnv(),
        "verilog": VERILOG,
        "ps": address_map.PROCESSOR,
        "interrupts": address_map.INTERRUPTS,
        "machine": address_map.MACHINE,
        "control_port": address_map.CONTROL_PORT,
        "memory_port": address_map.MEMORY_PORT,
        "memory_width": 8 * BEAT_BYTES,
        "clock_pin": CLOCK,
        "reset_pin": RESET,
        "interrupt_pin": INTERRUPT,
        "reference_mhz": REFERENCE_MHZ,
        "strategy": STRATEGY,
        "segments": address_map.SEGMENTS,
    }
    return {
        "ip/component.xml": component_xml(arch),
        f"ip/{OUT_OF_CONTEXT}": render("ooc.xdc", **values),
        **{f"vivado/{name}.tcl": render(f"{name}.tcl", **values) for name in ("project", "build", "timing")},
    }
