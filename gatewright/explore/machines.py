"""A point of a space as a machine, and what two machines have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gatewright.boards import Board, load_board
from gatewright.boards.dram import BoardDram
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import parse
from gatewright.explore.objectives import Area
from gatewright.explore.outcome import Refusal
from gatewright.explore.space import BOARD, DRAM, Space, Value
from gatewright.hw.synth.report import COLUMNS

Values = Mapping[str, Value]
"""A point: the value of each axis."""


def machine(space: Space, values: Values, name: str) -> ArchConfig:
    """The machine of a point; one that cannot be is a ``GatewrightError`` that says why."""
    own = {key: value for key, value in values.items() if key != BOARD and not key.startswith(DRAM)}
    of_dram = {key.removeprefix(DRAM): value for key, value in values.items() if key.startswith(DRAM)}
    if BOARD not in values:
        base = PRESETS[space.preset].to_dict()
        data = {**base, **own, "name": name, "dram": {**base["dram"], **of_dram}}
        return ArchConfig.from_dict(data, f"point {name}")
    board = load_board(str(values[BOARD]))
    if of_dram:
        dram = parse(BoardDram, {**vars(board.dram), **of_dram}, f"point {name}: dram", "a board's file has examples")
        board = replace(board, dram=dram)
    clock = own.pop("clock_mhz", None)
    base = board.arch(None if clock is None else int(clock)).to_dict()
    return ArchConfig.from_dict({**base, **own, "name": name}, f"point {name}")


def over_goals(board: Board, area: Area) -> Refusal | None:
    """Why a board is too small for a machine: it takes more of the chip than the board's goals allow."""
    chip = board.need_chip()
    limits = {name: share * getattr(chip.capacity, name) for name, share in chip.goals.items()}
    over = {name: (getattr(area, name), limit) for name, limit in limits.items() if getattr(area, name) > limit}
    if not over:
        return None
    reason = ", ".join(f"{COLUMNS[name]} {used:,.5g} of {limit:,.5g}" for name, (used, limit) in over.items())
    return Refusal(
        "board", f"over the goals of {board.name}: {reason}", sum(used / limit - 1 for used, limit in over.values())
    )


def same_programs(arch: ArchConfig) -> ArchConfig:
    """A machine that stands for all that run the same programs in the same order.

    They differ in what is behind the bus, in the clock, and in how many multipliers their array has.
    """
    like = PRESETS["ultra96"]
    return replace(arch, name="", clock_mhz=like.clock_mhz, array_multipliers=like.array_multipliers, dram=like.dram)


def arch_toml(arch: ArchConfig) -> str:
    """An arch file of the machine; ``load_arch`` reads it back. Its name is that of the file."""
    whole = arch.to_dict()
    dram = whole.pop("dram")
    lines = [f"{key} = {_toml(value)}" for key, value in whole.items() if key != "name"]
    return "\n".join([*lines, "", "[dram]", *(f"{key} = {_toml(value)}" for key, value in dram.items()), ""])


def _toml(value: bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def refuse(error: GatewrightError, name: str) -> str:
    """Why a point is none, without the point's name."""
    return str(error).removeprefix(f"point {name}: ").removeprefix(f"arch {name}: ")
