"""Boards: a TOML file each says which chip it carries, which DRAM, which clocks, and which machine suits it.

A file in this folder is a board; nothing else has to be told of it. ``load_board`` takes a file from elsewhere, too.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from gatewright.boards.board import Board, Chip, Resources
from gatewright.boards.dram import BoardDram
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import BOARD
from gatewright.contract.schema import parse

__all__ = ["BOARDS", "Board", "BoardDram", "Chip", "Resources", "load_board"]

SUFFIX = ".toml"

_FOLDER = resources.files(__name__)

BOARDS = tuple(sorted(file.name.removesuffix(SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(SUFFIX)))
"""The names of those that come with the package."""


def load_board(name_or_path: str) -> Board:
    """A board of the package by name, or a board's TOML file, whose name is then the board's.

    Every key must be there but ``chip``, and no other.
    """
    path = Path(name_or_path)
    if name_or_path in BOARDS:
        text = (_FOLDER / (name_or_path + SUFFIX)).read_text("utf-8")
    elif path.is_file():
        text = path.read_text("utf-8", errors="replace")
    else:
        raise GatewrightError(f"no board or file {name_or_path!r}; boards are {', '.join(BOARDS)}")
    what = f"board {path.stem}"
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise GatewrightError(f"{what} is not valid TOML: {error}") from error
    BOARD.check(data.pop("format", None), what)
    if "name" in data:
        raise GatewrightError(f"{what}: unknown key name; a board has the name of its file")
    whole = {"chip": None, **data, "name": path.stem}
    board = parse(Board, whole, what, "gatewright/boards has examples")
    board.arch()  # a machine that cannot be is found here
    return board
