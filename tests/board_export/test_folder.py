"""A board's folder: all of it is there and agrees, and its scripts run, on the simulator in the board's place."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from gatewright import boards
from gatewright.board_export import folder as folder_module
from gatewright.board_export.folder import write_board
from gatewright.boards import load_board
from gatewright.bringup.self_test import STEPS
from gatewright.cli.main import main
from gatewright.contract.arch import load_arch
from gatewright.contract.program import Program
from gatewright.driver_export import NAME
from gatewright.hw.verilog.generate import Rtl
from gatewright.machines.simulator import SimulatedMachine
from gatewright.vivado.address_map import SEGMENTS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the Ultra96 with a small machine at 200 MHz. The RTL, which takes a minute, is a stand-in here."""
    text = (Path(boards.__file__).parent / "ultra96.toml").read_text()
    own = tmp_path_factory.mktemp("board") / "mine.toml"
    assert 'preset = "ultra96"' in text
    sizes = {"scratchpad_kib": 8, "weight_kib": 16, "patch_kib": 8, "parameter_entries": 256}
    sizes |= {"tables": 4, "table_entries": 64, "instruction_entries": 128}
    small = "\n".join(f"{name} = {value}" for name, value in sizes.items())
    own.write_text(text.replace('preset = "ultra96"', f'preset = "4x4"\n{small}'))
    board = load_board(str(own))
    out = own.parent / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_module, "generate", lambda arch: Rtl({"gatewright.v": "", "manifest.json": "{}"}))
        names = write_board(out, board, board.arch(200), None)
    assert names == sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return out


def test_everything_is_there(place: Path) -> None:
    expected = ("README.md", "arch.toml", "address_map.json", "run_self_test.py", "run_images.py", "ip/component.xml")
    scripts = ("vivado/project.tcl", "vivado/build.tcl", "vivado/timing.tcl", "ip/hdl/gatewright.v")
    programs = ("self_test.safetensors", "self_test.s", "self_test_expected.npz")
    names = [*expected, *scripts, *(f"programs/{name}" for name in programs), f"driver/{NAME}/__main__.py"]
    assert [name for name in names if not (place / name).is_file()] == []


def test_its_parts_agree(place: Path) -> None:
    """The machine of the arch file, of the program and of the project; the addresses of the map and of the script."""
    arch, program = load_arch(str(place / "arch.toml")), Program.load(place / "programs" / "self_test.safetensors")
    assert arch.clock_mhz == 200 and arch.dram == program.arch.dram and arch.rows == program.arch.rows
    project = (place / "vivado" / "project.tcl").read_text()
    assert "CONFIG.CLKOUT1_REQUESTED_OUT_FREQ 200" in project
    found = json.loads((place / "address_map.json").read_text())
    assert [(entry["slave"], entry["base"], entry["size"]) for entry in found] == [
        (s.slave, s.base, s.size) for s in SEGMENTS
    ]
    assert all(f"-offset 0x{s.base:08X} -range 0x{s.size:08X}" in project for s in SEGMENTS)
    readme = (place / "README.md").read_text()
    assert "Nobody has tried this in Vivado" in readme and "0xA0000000" in readme


def script(path: Path) -> ModuleType:
    """A script of the folder as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_self_test_runs_from_the_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script, the copied driver and the program, on the simulator behind registers; then what it has counted."""
    program = Program.load(place / "programs" / "self_test.safetensors")
    monkeypatch.syspath_prepend(str(place / "driver"))
    run = script(place / "run_self_test.py")
    driver = importlib.import_module(f"{NAME}.__main__")
    monkeypatch.setattr(driver, "_machine", lambda options: SimulatedMachine(program.arch))
    monkeypatch.setattr(sys, "argv", ["run_self_test.py", "--verilated", "none"])
    assert run.main() == 0
    said = capsys.readouterr().out
    assert [line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith("PASS")] == list(STEPS)
    assert said.endswith("the self-test passes\n")

    command = ["compare", str(place / "results" / "self_test.json")]
    result = CliRunner().invoke(main, [*command, str(place / "programs" / "self_test.safetensors")])
    assert result.exit_code == 0 and "the board's counters are the simulator's" in result.output, result.output

    expected = place / "programs" / "self_test_expected.npz"
    values = dict(np.load(expected))
    values["tables.2.0"][5] ^= 8
    np.savez(expected, **values)
    monkeypatch.setattr(sys, "argv", ["run_self_test.py", "--verilated", "none"])
    assert run.main() == 1
    said = capsys.readouterr().out
    assert "FAIL tables" in said and "  tables.2.0: 1 of 1024 bytes, the first 5: expected" in said
    assert f"1 of {len(STEPS)} steps fail" in said


def test_without_a_network_the_other_script_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script(place / "run_images.py").main() == 2
    assert "gatewright board --network NAME" in capsys.readouterr().out


def test_the_command_refuses_what_is_no_board_or_clock(tmp_path: Path) -> None:
    for words, message in (
        (["ultra97"], "no board or file 'ultra97'"),
        (["ultra96", "--clock", "250"], "no clock of 250 MHz"),
    ):
        result = CliRunner().invoke(main, ["board", *words, "-o", str(tmp_path / "out")])
        assert result.exit_code == 2 and message in result.output
    assert not (tmp_path / "out").exists()
