"""The Vivado scripts, run in a Tcl interpreter whose Vivado is a stand-in (``model``): nobody here has Vivado.

What this proves: every command is one of those known, each cell, pin, bus and address that is named was made before,
nothing is left open, all buses are in one clock, and the addresses are those of the address map.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gatewright.boards import load_board
from gatewright.contract.errors import GatewrightError
from gatewright.vivado import address_map
from gatewright.vivado.scripts import vivado_files

pytest.importorskip("tkinter", reason="Python lacks its Tcl interpreter; Debian: apt-get install python3-tk")

from tests.vivado.block_design import VivadoError
from tests.vivado.model import Vivado

INSTALLED = ("avnet.com:ultra96v2:part0:1.1", "avnet.com:ultra96v2:part0:1.2", "xilinx.com:zcu104:part0:1.1")


def written(folder: Path, board: str = "ultra96", clock: int | None = None) -> Vivado:
    """The files of a board in a folder, and a Vivado that has not run yet."""
    one = load_board(board)
    for name, text in vivado_files(one, one.arch(clock)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Vivado(folder, boards=INSTALLED)


@pytest.mark.parametrize(("board", "clock"), [("ultra96", 150), ("ultra96", 200), ("ultra96", 300), ("zcu104", 300)])
def test_the_project_is_made(board: str, clock: int, tmp_path: Path) -> None:
    vivado = written(tmp_path, board, clock)
    vivado.source(tmp_path / "vivado" / "project.tcl")
    assert vivado.validated and vivado.failed is None
    assert vivado.properties["clock"]["CONFIG.CLKOUT1_REQUESTED_OUT_FREQ"] == str(clock)
    newest = {"ultra96": INSTALLED[1], "zcu104": INSTALLED[2]}[board]
    assert vivado.properties["project"]["board_part"] == newest
    assert vivado.mapped == {(s.master, s.slave): (s.base, s.end) for s in address_map.SEGMENTS}
    assert vivado.driver[f"{address_map.MACHINE}/rst"] == "reset/peripheral_reset", "the machine's reset is active at 1"
    clocked = {sink for sink, source in vivado.driver.items() if source == "clock/clk_out1"}
    assert {"gatewright_0/clk", "zynq_ps/maxihpm0_fpd_aclk", "zynq_ps/saxihp0_fpd_aclk"} <= clocked


def test_the_overlay_is_built(tmp_path: Path) -> None:
    vivado = written(tmp_path)
    script = tmp_path / "vivado" / "build.tcl"
    with pytest.raises(VivadoError, match=r"run vivado/project.tcl first"):
        vivado.source(script)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "gatewright.xpr").touch()
    with pytest.raises(VivadoError, match=r"Vivado wrote no .*design_1_wrapper.bit"):
        vivado.source(script)
    results = (
        "runs/impl_1/design_1_wrapper.bit",
        "gen/sources_1/bd/design_1/hw_handoff/design_1.hwh",
    )
    for name in results:
        path = tmp_path / "build" / f"gatewright.{name}"
        path.parent.mkdir(parents=True)
        path.write_text(path.suffix)
    vivado.source(script)
    overlay = tmp_path / "overlay"
    assert {path.name: path.read_text() for path in overlay.iterdir()} == {
        "gatewright.bit": ".bit",
        "gatewright.hwh": ".hwh",
    }
    assert vivado.called.index("wait_on_run") < vivado.called.index("open_run")
    vivado.slack = -0.2
    with pytest.raises(VivadoError, match="300 MHz are not met"):
        vivado.source(script)
    vivado.runs["synth_1"] = False
    with pytest.raises(VivadoError, match="synth_1 did not finish"):
        vivado.source(script)


def test_the_machine_alone_is_timed_at_any_clock(tmp_path: Path) -> None:
    vivado = written(tmp_path)
    (tmp_path / "ip" / "hdl").mkdir()
    (tmp_path / "ip" / "hdl" / "gatewright.v").touch()
    vivado.source(tmp_path / "vivado" / "timing.tcl")
    assert float(vivado.properties["clock"]["clk"]) == pytest.approx(1000 / 300)
    vivado.source(tmp_path / "vivado" / "timing.tcl", "200")
    assert float(vivado.properties["clock"]["clk"]) == 5.0
    assert "out of context at 200 MHz" in vivado.said[-1]


def test_board_files_that_are_not_installed_are_named(tmp_path: Path) -> None:
    vivado = written(tmp_path)
    vivado.boards = ()
    with pytest.raises(VivadoError, match=r"no board files avnet.com:ultra96v2:part0: install them"):
        vivado.source(tmp_path / "vivado" / "project.tcl")


FAULTS = {
    "a pin's name": (r"reset/peripheral_reset gatewright_0/rst", "reset/peripheral_rst gatewright_0/rst", "no reset/"),
    "a reset that is not connected": (r"wire reset/peripheral_reset .*\n", "", "gatewright_0/rst is not connected"),
    "the other sense of two resets": (r"wire reset/peripheral_aresetn \S+", "", "s_axi_aresetn is not connected"),
    "a bus the wrong way": (
        r"bus gatewright_0/m_axi memory_bus/S00_AXI",
        "bus memory_bus/S00_AXI gatewright_0/m_axi",
        "master",
    ),
    "two masters at a bus": (r"bus memory_bus/M00_AXI", "bus control_bus/M01_AXI", "already|master"),
    "a port that is not switched on": (
        r"CONFIG.PSU__USE__S_AXI_GP2 1",
        "CONFIG.PSU__USE__S_AXI_GP2 0",
        "saxihp0_fpd_aclk",
    ),
    "an interrupt that is not switched on": (r"CONFIG.PSU__USE__IRQ0 1", "CONFIG.PSU__USE__IRQ0 0", "pl_ps_irq0"),
    "one bus too few": (r"CONFIG.NUM_MI 2", "CONFIG.NUM_MI 1", "control_bus/M01_AXI"),
    "a bus in another clock": (
        r"    zynq_ps/saxihp0_fpd_aclk\n}",
        "}\nwire zynq_ps/pl_clk0 zynq_ps/saxihp0_fpd_aclk",
        "different clocks",
    ),
    "a bus that is left open": (r"bus zynq_ps/M_AXI_HPM0_FPD control_bus/S00_AXI\n", "", "is not connected"),
    "a cell that is used too soon": (
        r"add_cell clock clk_wiz",
        "wire zynq_ps/pl_clk0 clock/clk_in1\nadd_cell clock clk_wiz",
        "no cell clock",
    ),
    "addresses that overlap": (r"-offset 0xA0010000", "-offset 0xA0000000", "overlap"),
    "an address that cannot be": (r"-offset 0xA0010000", "-offset 0xA0010800", "cannot be decoded"),
    "a segment's name": (r"s_axi/registers", "s_axi/reg0", "no gatewright_0/s_axi/reg0"),
    "a command that does not exist": (r"validate_bd_design", "validate_board_design", "invalid command name"),
    "a design that is not validated": (r"validate_bd_design\n", "", "before it was validated"),
    "an IP that the catalogue lacks": (r"newest zynq_ultra_ps_e", "newest zynq_ultra_ps", "no IP zynq_ultra_ps"),
    "a catalogue without the machine": (r"update_ip_catalog -rebuild\n", "", "is not in the catalogue"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_stand_in_notices(fault: str, tmp_path: Path) -> None:
    """The means of the tests above: each of these faults in the script stops it."""
    vivado = written(tmp_path)
    script = tmp_path / "vivado" / "project.tcl"
    pattern, other, message = FAULTS[fault]
    text, count = re.subn(pattern, other, script.read_text())
    assert count, "the script has no such line"
    script.write_text(text)
    with pytest.raises(VivadoError, match=message):
        vivado.source(script)


def test_a_board_without_a_chip_has_no_project() -> None:
    board = load_board("verilator")
    with pytest.raises(GatewrightError, match="board verilator has no chip"):
        vivado_files(board, board.arch())
