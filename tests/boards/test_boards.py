"""Boards: found by being there, sound, and their DRAM in cycles of every clock."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from gatewright import boards
from gatewright.boards import BOARDS, BoardDram, Resources, load_board
from gatewright.contract.arch import PRESETS, DramConfig
from gatewright.contract.errors import GatewrightError

FOLDER = Path(boards.__file__).parent


def test_a_board_is_one_file() -> None:
    """A new one is a new file and nothing else."""
    assert set(BOARDS) == {path.stem for path in FOLDER.glob("*.toml")} >= {"ultra96", "zcu104", "verilator"}


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_sound(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    machine = board.arch()
    assert machine.name == name and machine.clock_mhz == board.clocks_mhz[-1]
    assert [board.arch(clock).clock_mhz for clock in board.clocks_mhz] == list(board.clocks_mhz)
    if board.chip is None:
        return
    assert set(board.chip.goals) <= {field.name for field in fields(Resources)}
    assert machine.array_multipliers <= board.chip.goals["dsp"] * board.chip.capacity.dsp
    bits = 8 * 1024 * (machine.scratchpad_kib + machine.patch_kib + machine.weight_kib)
    assert bits <= board.chip.goals["bram36"] * board.chip.capacity.bram36 * 36 * 1024


def test_the_machine_of_the_first_board_is_the_default_preset() -> None:
    """So every figure of the preset is one of the board's machine, at the DRAM that the board's file assumes."""
    assert load_board("ultra96").arch() == PRESETS["ultra96"]


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        # 213 ns are 63.9 cycles; 3.6 GB/s are 12 bytes of 16
        (300, DramConfig(latency=64, beats=3, per_cycles=4, burst_gap=1, outstanding=16, shared=False)),
        # 18 and 24 bytes a cycle: the port has 16
        (200, DramConfig(latency=43, beats=1, per_cycles=1, burst_gap=1, outstanding=16, shared=False)),
        (150, DramConfig(latency=32, beats=1, per_cycles=1, burst_gap=1, outstanding=16, shared=False)),
    ],
)
def test_each_clock_has_its_own_cycles(clock: int, expected: DramConfig) -> None:
    assert load_board("ultra96").arch(clock).dram == expected


def test_no_gap_stays_none_and_a_latency_is_never_less_than_the_machine_can_have() -> None:
    dram = BoardDram(gigabytes_per_second=1.0, latency_ns=1.0, burst_gap_ns=0.0, outstanding=1, shared=True)
    assert dram.at(100) == DramConfig(latency=2, beats=5, per_cycles=8, burst_gap=0, outstanding=1, shared=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("latency_ns = 213.0", "latency_ns = -1.0"), "dram.latency_ns = -1.0 must be greater than 0"),
        (("latency_ns = 213.0", ""), "missing key dram.latency_ns"),
        (('title = "Ultra96-V2"', 'title = "Ultra96-V2"\ncolour = "red"'), "unknown key colour"),
        (('title = "Ultra96-V2"', 'name = "mine"'), "a board has the name of its file"),
        (('preset = "ultra96"', 'preset = "ultra97"'), "machine.preset = 'ultra97' is none of ultra96"),
        (('preset = "ultra96"', 'preset = "ultra96"\ncolumns = 1'), "columns = 1 must be an integer from 4 to 32"),
        (('preset = "ultra96"', 'preset = "ultra96"\nclock_mhz = 1'), "machine.clock_mhz follows from the file"),
        (("lut = 0.70", "lut = 1.70"), "chip.goals.lut = 1.7 must be less than or equal to 1"),
        (("[150, 200, 300]", "[]"), "clocks_mhz"),
        (("[150", "150"), "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_key(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    text = (FOLDER / "ultra96.toml").read_text()
    assert change[0] in text
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert load_board(str(path)).arch().name == "mine"
    path.write_text(text.replace(*change))
    with pytest.raises(GatewrightError) as caught:
        load_board(str(path))
    assert message in str(caught.value) and "board mine" in str(caught.value)


def test_an_unknown_board_and_an_unknown_clock_are_refused() -> None:
    with pytest.raises(GatewrightError, match=r"no board or file 'ultra97'; boards are .*ultra96"):
        load_board("ultra97")
    with pytest.raises(GatewrightError, match=r"board ultra96: no clock of 250 MHz; there are 150, 200, 300"):
        load_board("ultra96").arch(250)


def test_a_board_without_a_chip_says_so() -> None:
    with pytest.raises(GatewrightError, match="board verilator has no chip"):
        load_board("verilator").need_chip()
