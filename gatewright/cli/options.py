"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import click

from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program

arch_option = click.option(
    "--arch", "arch_name", default="ultra96", metavar="PRESET_OR_TOML", help="Machine: a preset's name or a TOML file."
)

board_option = click.option(
    "--board", "board_name", default="ultra96", metavar="BOARD_OR_TOML", help="A board's name or its TOML file."
)

expected_arch_option = click.option(
    "--arch", "arch_name", metavar="PRESET_OR_TOML", help="Refuse a program that was compiled for another machine."
)

cycles_arch_option = click.option(
    "--arch",
    "arch_name",
    metavar="PRESET_OR_TOML",
    help="Also simulate the images that ship with the package on this machine: cycles and speedup.",
)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The network's data set, as downloaded or unpacked; for an ImageNet network a folder of photographs, for an "
    "exported program (.pt2) of photographs or .npy images. "
    "Without it, the test images that ship with the package.",
)

live_option = click.option(
    "--live", is_flag=True, help="One program for every image: its gates are decided on the machine."
)

required_data_option = click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="The network's data set, as downloaded or unpacked."
)


class ImageRange(click.ParamType[tuple[int, int]]):
    """The position of the first image in a set, and how many there are."""

    name = "first:count"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """First and count; what is no such pair is a usage error."""
        if isinstance(value, tuple):
            return value
        first, _, count = str(value).partition(":")
        if not (first.isdecimal() and count.isdecimal() and int(count)):
            self.fail(f"{value!r} is not FIRST:COUNT, such as 0:8", param, ctx)
        return int(first), int(count)


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them: one for all (channels, classes), or one for each. ``finite``: all must be."""

    name = "number,number,..."

    def __init__(self, finite: bool) -> None:
        self.finite = finite

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers; what is none is a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(word) for word in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number, or numbers with commas between them", param, ctx)
        if any(math.isnan(number) for number in numbers):
            self.fail(f"{value!r} is not a number", param, ctx)
        if self.finite and not all(math.isfinite(number) for number in numbers):
            self.fail(f"{value!r} is not finite", param, ctx)
        return numbers


class Resizing(click.ParamType[Literal["cover", "stretch"] | int]):
    """How photographs are brought to a network's size: ``models.own.Resize``."""

    name = "pixels|cover|stretch"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Literal["cover", "stretch"] | int:
        """Pixels of the shorter edge, or a word; anything else is a usage error."""
        if value == "cover" or value == "stretch":
            return value
        if not str(value).isdecimal() or not 0 < int(str(value)) <= 1 << 15:
            self.fail(f"{value!r} is neither a number of pixels, nor cover or stretch", param, ctx)
        return int(str(value))


class ImageSize(click.ParamType[tuple[int, int]]):
    """Rows and columns of an image, or one number for both."""

    name = "rows[xcolumns]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Rows and columns; what is no such pair is a usage error."""
        if isinstance(value, tuple):
            return value
        edges = str(value).split("x")
        if len(edges) > 2 or not all(edge.isdecimal() and 0 < int(edge) < 1 << 16 for edge in edges):
            self.fail(f"{value!r} is not ROWSxCOLUMNS, such as 480x640, or one number for both", param, ctx)
        return int(edges[0]), int(edges[-1])


def load_program(path: Path, arch_name: str | None) -> Program:
    """Load a program; with an arch, one that was compiled for it."""
    program = Program.load(path)
    if arch_name is not None and load_arch(arch_name) != program.arch:
        raise GatewrightError(f"{path} was compiled for arch {program.arch.name}, which is not {arch_name}")
    return program


def refuse_both(live: bool, dense: bool) -> None:
    """A network without its gates has none to decide."""
    if live and dense:
        raise GatewrightError(
            "--live and --dense exclude each other: without gates a program serves every image anyhow"
        )
