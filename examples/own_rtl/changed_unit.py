"""A changed unit that is caught: GATHER with one more register in front of its completion, as timing might ask for.

``python examples/own_rtl/changed_unit.py`` takes the machine's Verilog, puts a unit of its own in GATHER's place, and
runs random programs on it in lockstep with the simulator. It prints what is found: the instruction, its cycle on both
sides, and what of the program it takes. Every byte is right, and with a memory that pauses at random, where cycles are
not compared, nothing is found: it is one cycle, in each GATHER.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from gatewright.bringup.arch_file import arch_toml
from gatewright.contract.arch import PRESETS
from gatewright.verify import design
from gatewright.verify.kit.check import check, machine_bench, small

ARCH = small(PRESETS["4x4"])
UNIT = r"\gatewright.gather "
LATE = "progress__retire"
"""The line of a unit that is 1 in the cycle in which an instruction is counted as complete."""

_PORT = re.compile(r"^  (input|output) (\[\d+:0\] )?(\S+ ?);$", re.MULTILINE)


def with_a_register(verilog: str, unit: str = UNIT, late: str = LATE) -> str:
    """The machine with a module of your own in a unit's place: that unit, and a register behind one of its outputs."""
    text, inside = verilog, unit.replace("gatewright.", "inside.")
    header = f"module {unit}("
    if text.count(header) != 1:
        sys.exit(f"the Verilog has {text.count(header)} modules {unit.strip()}, not one")
    begin = text.index(header)
    ports = _PORT.findall(text[begin : text.index("endmodule", begin)])
    names = ", ".join(name for _, _, name in ports)
    declared = "".join(f"  {way} {width}{name};\n" for way, width, name in ports)
    wired = ", ".join(f".{name}({'early' if name == late else name})" for _, _, name in ports)
    own = (
        f"module {unit}({names});\n{declared}"
        f"  wire early;\n  reg delayed = 0;\n  assign {late} = delayed;\n"
        "  always @(posedge clk) delayed <= rst ? 1'b0 : early;\n"
        f"  {inside} unit ({wired});\nendmodule\n"
    )
    return text.replace(header, f"module {inside}(") + "\n" + own


def main() -> None:
    """Write the changed machine, run random programs on it, print what is found; an error if nothing is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("build/own_rtl"), help="folder for the files")
    out = parser.parse_args().out
    changed = with_a_register(design.machine_verilog(ARCH))
    out.mkdir(parents=True, exist_ok=True)
    (out / "changed.v").write_text(changed)
    (out / "arch.toml").write_text(arch_toml(ARCH, "4x4 with small memories"))
    print(f"the changed machine is in {out}: changed.v, arch.toml")
    found = check(machine_bench(ARCH, changed), "layers", range(20))
    if found.difference is None:
        sys.exit(f"{found.agreed} programs agree: the change was not noticed")
    print(f"seed {found.number}: {found.difference}")
    pausing = check(machine_bench(ARCH, changed, stall=5), "layers", range(4))
    print(f"with pauses: {pausing.agreed} of {pausing.count} programs agree in order and bytes")


if __name__ == "__main__":
    main()
