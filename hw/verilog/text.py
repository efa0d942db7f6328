"""Verilog of a component, without a line for every word of its empty memories."""

from __future__ import annotations

import re

from amaranth.back import verilog
from amaranth.lib import wiring

_ZEROED_MEMORY = re.compile(r"  initial begin\n(?:    \S+ ?\[\d+\] = \d+'[hd]0+;\n)+  end\n")
"""What Amaranth emits for a memory without contents: a zero for every word."""


def verilog_text(component: wiring.Component, name: str) -> str:
    """The component as the Verilog module ``name`` and those below it.

    Memories without contents at power-on get none: that would be nine tenths of the text, and nothing may depend on it.
    """
    text: str = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return _ZEROED_MEMORY.sub("", text)
