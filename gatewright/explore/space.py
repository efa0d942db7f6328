"""A space of machines, as a TOML file says it: what varies, for which networks, on which boards, and what is wanted."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Len

from gatewright.boards import BoardDram, load_board
from gatewright.contract.arch import PRESETS, ArchConfig, DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import SPACE
from gatewright.contract.schema import parse, show
from gatewright.explore.objectives import OBJECTIVES

Value = bool | int | float | str
Sampler = Literal["nsga2", "tpe", "grid"]
ProgramKind = Literal["replay", "live", "dense"]

BOARD, DRAM = "board", "dram."
"""The axis of boards, and what an axis of the DRAM's begins with."""

_FIX = "docs/explore.md says what a space's file holds"
_FIXED = ("name", "dram")


@dataclass(frozen=True)
class Steps:
    """The whole numbers from ``first`` to ``last``, ``step`` apart."""

    first: int
    last: int
    step: Annotated[int, Ge(1)]

    def values(self) -> tuple[int, ...]:
        """In ascending order; none if ``last`` is below ``first``."""
        return tuple(range(self.first, self.last + 1, self.step))


@dataclass(frozen=True)
class NetworkUse:
    """A network, and what of it is run on each machine.

    ``name`` is of the zoo, or a checkpoint's or exported program's file. ``program``: compiled for each image, one for
    all, or without gates. ``share`` is its share of all images, relative to the other networks'.
    """

    name: str
    images: Annotated[int, Ge(1)] = 8
    data: str | None = None
    program: ProgramKind = "replay"
    share: Annotated[float, Gt(0)] = 1.0


@dataclass(frozen=True)
class Search:
    """How points are chosen. ``batch``: so many are chosen before the first of them is told; NSGA-II's population."""

    sampler: Sampler = "nsga2"
    seed: Annotated[int, Ge(0)] = 0
    batch: Annotated[int, Ge(2)] = 20


@dataclass(frozen=True)
class Space:
    """All that a file says. ``axes`` has the values of each parameter that varies, in the file's order."""

    networks: Annotated[tuple[NetworkUse, ...], Len(1)]
    axes: Mapping[str, tuple[Value, ...]]
    objectives: Annotated[tuple[str, ...], Len(1)]
    boards: tuple[str, ...] = ()
    preset: str = "ultra96"
    search: Search = Search()

    @property
    def size(self) -> int:
        """Points of the whole space."""
        return prod(len(values) for values in self.axes.values())

    def to_dict(self) -> dict[str, Any]:
        """As plain data, to tell whether two searches are the same."""
        return asdict(self)


@dataclass(frozen=True)
class _File:
    networks: Annotated[tuple[NetworkUse, ...], Len(1)]
    axes: dict[str, tuple[Value, ...] | Steps]
    objectives: Annotated[tuple[str, ...], Len(1)]
    boards: tuple[str, ...]
    preset: str
    search: Search


def load_space(path: Path) -> Space:
    """Read a space's file; a fault in it is a ``GatewrightError`` that names the key."""
    what = f"space {path}"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise GatewrightError(f"{what} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise GatewrightError(f"{what} is not valid TOML: {error}") from error
    SPACE.check(data.pop("format", None), what)
    file = parse(_File, _whole(data, what), what, _FIX)
    axes: dict[str, tuple[Value, ...]] = {}
    if file.boards:
        axes[BOARD] = file.boards
    for name, given in file.axes.items():
        axes[name] = given.values() if isinstance(given, Steps) else given
    space = Space(file.networks, axes, file.objectives, file.boards, file.preset, file.search)
    _check(space, what)
    return space


def _whole(data: dict[str, Any], what: str) -> dict[str, Any]:
    """The file's data with what may be left out, and the axes of the DRAM beside the others."""
    if "preset" in data and data.get("boards"):
        raise GatewrightError(
            f"{what}: preset and boards exclude each other; a board says what its machine starts from"
        )
    defaults = {"boards": [], "preset": "ultra96", "axes": {}}
    whole = {**defaults, **data, "search": _with_defaults(Search, data.get("search", {}))}
    if isinstance(data.get("networks"), list):
        whole["networks"] = [_with_defaults(NetworkUse, one) for one in data["networks"]]
    axes = whole["axes"]
    if isinstance(axes, dict) and isinstance(axes.get("dram"), dict):
        inner = {f"{DRAM}{name}": values for name, values in axes["dram"].items()}
        whole["axes"] = {**{name: values for name, values in axes.items() if name != "dram"}, **inner}
    return whole


def _with_defaults(kind: type[Any], data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    defaults = {one.name: one.default for one in fields(kind) if one.default is not MISSING}
    return {**defaults, **data}


def _check(space: Space, what: str) -> None:
    """What the types do not say."""
    for objective in space.objectives:
        if objective not in OBJECTIVES:
            raise GatewrightError(f"{what}: no objective {show(objective)}; there are {', '.join(OBJECTIVES)}")
    for name, among in (("objectives", space.objectives), ("networks", [use.name for use in space.networks])):
        if len(set(among)) != len(among):
            raise GatewrightError(f"{what}: {name} names {_twice(list(among))} twice")
    if not space.axes:
        raise GatewrightError(f"{what}: nothing varies; give an axis, such as columns = [8, 16], under [axes]")
    if space.preset not in PRESETS:
        raise GatewrightError(f"{what}: no preset {show(space.preset)}; presets are {', '.join(PRESETS)}")
    boards = [load_board(name) for name in space.boards]
    for board in boards:
        board.need_chip()
    of_dram = [f"{DRAM}{one.name}" for one in fields(BoardDram if boards else DramConfig)]
    known = [*(one.name for one in fields(ArchConfig) if one.name not in _FIXED), *of_dram]
    base = boards[0].arch() if boards else PRESETS[space.preset]
    for name, values in space.axes.items():
        if name not in known and name != BOARD:
            raise GatewrightError(f"{what}: no parameter {show(name)} of a machine; there are {', '.join(known)}")
        if not values:
            raise GatewrightError(f"{what}: the axis {name} has no values")
        if len({(type(value), value) for value in values}) != len(values):
            raise GatewrightError(f"{what}: the axis {name} has {_twice(list(values))} twice")
        if name != BOARD and not name.startswith(DRAM):
            for value in values:  # one that no machine can have
                ArchConfig.from_dict({**base.to_dict(), name: value}, f"{what}: axis {name}")


def _twice(values: list[Any]) -> str:
    return str(next(value for value in values if values.count(value) > 1))
