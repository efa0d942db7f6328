"""The syntheses that the model of the area is fitted to and tried at: ``figures.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from gatewright.contract.arch import ArchConfig
from gatewright.contract.schema import parse_json
from gatewright.explore.objectives import Area

FILE = "figures.json"


@dataclass(frozen=True)
class Synthesis:
    """Modules of a machine, synthesised: all of them, or some alone."""

    arch: ArchConfig
    modules: dict[str, Area]

    @property
    def total(self) -> Area:
        """The sum over the modules."""
        every = self.modules.values()
        return Area(
            sum(one.lut for one in every),
            sum(one.ff for one in every),
            sum(one.bram36 for one in every),
            sum(one.dsp for one in every),
            "synth",
        )


@dataclass(frozen=True)
class Figures:
    """Whole machines, and modules of machines that were synthesised alone."""

    machines: tuple[Synthesis, ...]
    parts: tuple[Synthesis, ...]


@dataclass(frozen=True)
class _Row:
    """``arch`` says in which parameters a machine differs from the preset; a module has LUT, FF, BRAM36, DSP48E2."""

    arch: dict[str, bool | int | str]
    modules: dict[str, tuple[int, int, float, int]]


@dataclass(frozen=True)
class _File:
    command: str
    yosys: str
    machines: tuple[_Row, ...]
    parts: tuple[_Row, ...]


@cache
def read_figures() -> Figures:
    """The file of the package."""
    text = (resources.files(__name__.rpartition(".")[0]) / FILE).read_text("utf-8")
    file = parse_json(_File, text, FILE, json.loads(text)["command"])
    return Figures(tuple(map(_synthesis, file.machines)), tuple(map(_synthesis, file.parts)))


def _synthesis(row: _Row) -> Synthesis:
    base = ArchConfig().to_dict()
    dram = {key.removeprefix("dram."): value for key, value in row.arch.items() if key.startswith("dram.")}
    own = {key: value for key, value in row.arch.items() if not key.startswith("dram.")}
    arch = ArchConfig.from_dict({**base, **own, "dram": {**base["dram"], **dram}}, FILE)
    return Synthesis(arch, {name: Area(*area, "synth") for name, area in row.modules.items()})
