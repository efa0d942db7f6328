"""Accesses of every memory and unit, layer by layer, and the energy that a table of the user's makes of them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import ENERGY
from gatewright.contract.program import Program
from gatewright.contract.schema import parse
from gatewright.measure.layer_names import BOOT_LAYER, answering_layers
from gatewright.sim.counts.ports import ACCESSES
from gatewright.sim.counts.run import count_accesses

Accesses = dict[str, dict[str, int]]
"""By layer, in order of execution, and by access (``sim.counts.ports.ACCESSES``)."""

PicoJoules = Annotated[float, Ge(0)]


def layer_accesses(program: Program, sample: npt.NDArray[np.int8] | None = None) -> Accesses:
    """What each layer of a run of one image accesses; the sum over layers is the run's."""
    counts = count_accesses(program, sample)
    found: dict[str, npt.NDArray[np.int64]] = {}
    for layer, row in zip([BOOT_LAYER, *answering_layers(program)], counts, strict=True):
        found[layer] = found.get(layer, 0) + row
    return {
        layer: {name: int(count) for name, count in zip(ACCESSES, row, strict=True)} for layer, row in found.items()
    }


@dataclass(frozen=True)
class EnergyTable:
    """Picojoules of an access, by its name; what the table does not name counts as nothing, and is told of."""

    pj: dict[str, PicoJoules | dict[str, PicoJoules]]

    @property
    def per_access(self) -> dict[str, float]:
        """Flat: ``scratchpad.read`` and so on."""
        flat = dict[str, float]()
        for name, value in self.pj.items():
            if isinstance(value, dict):
                flat |= {f"{name}.{way}": float(cost) for way, cost in value.items()}
            else:
                flat[name] = float(value)
        return flat

    @property
    def unnamed(self) -> list[str]:
        """Accesses that the table says nothing of."""
        return [name for name in ACCESSES if name not in self.per_access]

    def of(self, counts: dict[str, float]) -> float:
        """Picojoules of so many accesses."""
        return sum(cost * counts[name] for name, cost in self.per_access.items())


def read_energy_table(path: Path) -> EnergyTable:
    """Read a TOML file with a table ``[pj]``, such as ``scratchpad.read = 1.2``; a fault is a ``GatewrightError``."""
    if not path.is_file():
        raise GatewrightError(f"no energy table at {path}")
    try:
        data = tomllib.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise GatewrightError(f"energy table {path} is not valid TOML: {error}") from error
    ENERGY.check(data.pop("format", None), f"energy table {path}")
    fix = f"it has a table [pj] with numbers, picojoules, of {', '.join(ACCESSES)}"
    table = parse(EnergyTable, data, f"energy table {path}", fix)
    odd = sorted(set(table.per_access) - set(ACCESSES))
    if odd:
        raise GatewrightError(f"energy table {path}: nothing is called {', '.join(odd)}; {fix}")
    return table
