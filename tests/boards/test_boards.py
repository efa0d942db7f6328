"""Boards: found by being there, and sound."""

from __future__ import annotations

import pkgutil
from dataclasses import fields

import pytest

from gatewright import boards
from gatewright.boards import BOARDS, Resources, find_board
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError


def test_a_board_is_one_file() -> None:
    """Every module beside ``board`` is a board of its own name: a new one is a new file and nothing else."""
    files = {module.name for module in pkgutil.iter_modules(boards.__path__)} - {"board"}
    assert files == set(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_sound(name: str) -> None:
    board = find_board(name)
    machine = PRESETS[board.machine]
    assert board.name == name
    assert set(board.goals) <= {field.name for field in fields(Resources)}
    assert all(0 < share <= 1 for share in board.goals.values())
    assert machine.array_multipliers <= board.goals["dsp"] * board.capacity.dsp
    bits = 8 * 1024 * (machine.scratchpad_kib + machine.patch_kib + machine.weight_kib)
    assert bits <= board.goals["bram36"] * board.capacity.bram36 * 36 * 1024


def test_an_unknown_board_is_refused() -> None:
    with pytest.raises(GatewrightError, match=r"no board 'ultra97'; boards are .*ultra96"):
        find_board("ultra97")
