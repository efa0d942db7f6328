"""Boards: one file each says which chip it carries, how much of it a design may fill, and which machine suits it.

A module here that defines ``BOARD`` is a board; nothing else has to be told of it.
"""

from __future__ import annotations

import importlib
import pkgutil

from gatewright.boards.board import Board, Resources
from gatewright.contract.errors import GatewrightError

__all__ = ["BOARDS", "Board", "Resources", "find_board"]


def _boards() -> dict[str, Board]:
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    boards = [module.BOARD for module in modules if hasattr(module, "BOARD")]
    return {board.name: board for board in boards}


BOARDS = _boards()
"""Every board by name."""


def find_board(name: str) -> Board:
    """The board of that name; an unknown one is an error that lists those there are."""
    if name not in BOARDS:
        raise GatewrightError(f"no board {name!r}; boards are {', '.join(sorted(BOARDS))}")
    return BOARDS[name]
