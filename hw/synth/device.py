"""The chip: what it has of each resource, what a netlist's cells take, and how much of it the design may fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from gatewright.contract.errors import GatewrightError

DEVICE = "ZU3EG"


@dataclass(frozen=True)
class Resources:
    """Amounts of what an UltraScale+ is made of."""

    lut: int = 0
    """6-input look-up tables in all, those used as memory or shift registers included."""
    lutram: int = 0
    """Look-up tables used as memory or shift registers."""
    ff: int = 0
    carry8: int = 0
    bram36: float = 0
    """Blocks of 36 Kbit; a RAMB18E2 is half of one."""
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Resources)))

    def __mul__(self, count: int) -> Resources:
        return Resources(*(getattr(self, f.name) * count for f in fields(Resources)))


CAPACITY = Resources(lut=70_560, lutram=28_800, ff=141_120, carry8=8_820, bram36=216, dsp=360)

GOALS: dict[str, float] = {"lut": 0.60, "bram36": 0.90, "dsp": 0.75}
"""Shares of the chip that the design should stay below, so that it can be placed and routed at speed."""

_MEMORY_LUTS = {
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM256X1D": 8,
    "RAM512X1S": 8,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM32X16DR8": 8,
    "RAM64X8SW": 8,
}
"""Look-up tables that each memory cell takes."""

_COSTS: dict[str, Resources] = {
    **{f"LUT{inputs}": Resources(lut=1) for inputs in range(1, 7)},
    "INV": Resources(lut=1),
    **{name: Resources(lut=luts, lutram=luts) for name, luts in _MEMORY_LUTS.items()},
    **{name: Resources(ff=1) for name in ("FDRE", "FDSE", "FDCE", "FDPE")},
    "CARRY8": Resources(carry8=1),
    "RAMB36E2": Resources(bram36=1),
    "RAMB18E2": Resources(bram36=0.5),
    "DSP48E2": Resources(dsp=1),
    **{name: Resources() for name in ("MUXF7", "MUXF8", "MUXF9", "$scopeinfo")},
}
"""What a cell of the netlist takes. The multiplexers come with the look-up tables; two small functions that could
share one table are counted as two, and so is an inverter that could vanish into its neighbour."""


def cost(cells: Mapping[str, int]) -> Resources:
    """What a netlist with that many cells of each type takes. A type that the chip does not have is an error."""
    unknown = sorted(set(cells) - set(_COSTS))
    if unknown:
        raise GatewrightError(
            f"synthesis left cells that the {DEVICE} does not have: {', '.join(unknown)}; "
            "see yosys.log in the output folder, and write that part of the design in one of the mapped forms"
        )
    total = Resources()
    for name, count in cells.items():
        total += _COSTS[name] * count
    return total
