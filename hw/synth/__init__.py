"""Synthesis for an UltraScale+ by Yosys: resources per module, goals, longest path, netlist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from gatewright.boards.board import Chip
from gatewright.contract.errors import GatewrightError
from gatewright.hw.synth.library import library
from gatewright.hw.synth.report import REPORT, Goal, SynthesisReport, module_resources, table
from gatewright.hw.synth.script import LIBRARY, STATISTICS, TECHMAPS, TIMING, script, steps
from gatewright.hw.synth.timing import LongestPath, parse_timing
from gatewright.hw.synth.yosys import read_output, run_yosys

__all__ = [
    "synthesise",
    "table",
    "SynthesisReport",
    "Goal",
    "LongestPath",
]

SCRIPT = "synth.ys"


def synthesise(
    component: Any,
    ports: Iterable[Any] | None,
    name: str,
    out: Path,
    *,
    chip: Chip,
    depth: int = 1,
    dsp_width: int = 8,
) -> SynthesisReport:
    """Synthesise an Amaranth elaboratable; its netlist, log and report are left in the folder ``out``.

    ``ports`` are the top's signals, None for those of a component's signature. Modules down to ``depth`` levels below
    the top are kept: each is synthesised on its own with all that is below it and has a row in the report; only
    constants and unused signals pass their boundaries. The total is the sum of what was mapped. Multipliers
    with an operand of fewer than ``dsp_width`` bits become look-up tables. ``chip`` says what
    there is and what the goals are.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = rtlil.convert(component, name=name, ports=None if ports is None else list(ports), emit_src=False)
        kept = _modules(text, depth)
        source = f"{name}.il"
        (out / source).write_text(text)
        (out / LIBRARY).write_text(library())
        for techmap in TECHMAPS:
            (out / techmap).write_text((resources.files(__name__) / techmap).read_text())
        (out / SCRIPT).write_text(script(steps(source, name, kept, dsp_width)))
    except OSError as error:
        raise GatewrightError(f"cannot write to {out}: {error.strerror}") from error
    seconds = run_yosys(out, SCRIPT)
    modules, cells = module_resources(read_output(out / STATISTICS), name)
    report = SynthesisReport(
        name=name,
        chip=chip,
        total=modules[name],
        modules=modules,
        cells=cells,
        longest_path=parse_timing(read_output(out / TIMING)),
        seconds=seconds,
    )
    (out / REPORT).write_text(report.to_json() + "\n")
    return report


def _modules(text: str, depth: int) -> list[str]:
    """Modules of an RTLIL text that are 1 ... ``depth`` levels below the top: Amaranth joins their names by dots."""
    names = re.findall(r"^module \\(\S+)", text, re.MULTILINE)
    return [name for name in names if 1 <= name.count(".") <= depth]
