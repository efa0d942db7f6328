"""What the cells of a netlist take of an UltraScale+."""

from __future__ import annotations

from collections.abc import Mapping

from gatewright.boards.board import Resources
from gatewright.contract.errors import GatewrightError

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
            f"synthesis left cells that an UltraScale+ does not have: {', '.join(unknown)}; "
            "see yosys.log in the output folder, and write that part of the design in one of the mapped forms"
        )
    total = Resources()
    for name, count in cells.items():
        total += _COSTS[name] * count
    return total
