"""Verilog of a component that every simulator runs alike, without a line for every word of its zeroed memories."""

from __future__ import annotations

import re
import tempfile
from itertools import count
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from gatewright.hw.synth.yosys import run_yosys

_ZEROED_MEMORY = re.compile(
    r"  initial begin\n    (?P<name>\S+ ?)\[0\] = (?P<zero>\d+'[hd]0+);\n"
    r"(?:    (?P=name)\[\d+\] = (?P=zero);\n)*  end\n"
)
"""What Amaranth emits for a memory without contents: a zero for every word."""

_LOOP = """  initial begin : {label}
    integer each_word;
    for (each_word = 0; each_word < {words}; each_word = each_word + 1) {name}[each_word] = {zero};
  end
"""

_NETLIST, _SCRIPT, _VERILOG = "netlist.il", "verilog.ys", "verilog.v"

_INTERNAL = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding", "full_case")
"""Attributes for Amaranth's own tools and for case statements, of which none is left."""

_REMOVED = " ".join(f"-remove {attribute}" for attribute in _INTERNAL)

_PASSES = (
    f"read_rtlil {_NETLIST}",
    # Every decision becomes multiplexers of two, and they become `assign`s. As a process it would be an `always @*`,
    # which first runs when something that it reads changes: what reads only constants, or registers that keep their
    # initial values through reset, would stay X until then, in Icarus for ever. As a multiplexer of more it would be a
    # function with a name that Icarus takes for one of its own.
    "proc",
    "pmuxtree",
    "memory_collect",
    f"attrmap {_REMOVED}",
    f"attrmap -modattr {_REMOVED}",
    f"write_verilog -norename {_VERILOG}",
)


def verilog_text(component: wiring.Component, name: str) -> str:
    """The component as the Verilog module ``name`` and those below it.

    Its processes are clocked ones alone; all else is ``assign``. Memories without contents are zeroed in a loop, as the
    chip's are at power-on: nothing depends on it, but where a simulator has X in them, a product with zero is X too.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / _NETLIST).write_text(rtlil.convert(component, name=name, emit_src=False))
        (folder / _SCRIPT).write_text("\n".join(_PASSES) + "\n")
        run_yosys(folder, _SCRIPT)
        text = (folder / _VERILOG).read_text()
    return _zeroed_in_loops(text)


def _zeroed_in_loops(text: str) -> str:
    """The Verilog with a loop in place of a line for every word: those lines are nine tenths of the text."""
    numbers = count()

    def loop(match: re.Match[str]) -> str:
        words = match.group().count(" = ")
        return _LOOP.format(label=f"power_on_{next(numbers)}", words=words, name=match["name"], zero=match["zero"])

    return _ZEROED_MEMORY.sub(loop, text)
