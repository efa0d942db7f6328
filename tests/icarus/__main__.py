"""``python -m tests.icarus``: the emitted Verilog in Icarus, in a bench that shares nothing with the other ones.

The 4x4 machine is powered on with every memory unknown, reset, and runs programs back to back, behind an illegal
instruction, an abort and a reset in the middle; then the same with random pauses on every channel. Each of it twice:
with the Verilog as it is, and without its registers' initial values, so that reset alone has to do. Bytes, cycles
(where the memory does not pause), error registers and unknown outputs are checked. The exit code is 1 if one is wrong.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gatewright.hw.verilog.generate import to_verilog
from tests.icarus.steps import ARCH, Step, network, steps, write_steps

FOLDER = Path(__file__).parent
_INITIAL = re.compile(r"^(  reg [^=\n]*?) *= [^;\n]*;$", re.MULTILINE)
"""A register's initial value."""


def without_initial_values(verilog: str) -> str:
    """The Verilog with registers that are unknown at power-on."""
    return _INITIAL.sub(r"\1;", verilog)


def build(verilog: str, folder: Path) -> Path:
    """Compile the machine and the bench."""
    (folder / "gatewright.v").write_text(verilog)
    dram = ARCH.dram
    parameters = {
        "LATENCY": dram.latency,
        "RATE_BEATS": dram.beats,
        "RATE_CYCLES": dram.per_cycles,
        "BURST_GAP": dram.burst_gap,
    }
    given = [f"-Picarus_bench.{name}={value}" for name, value in parameters.items()]
    sources = [str(FOLDER / "bench.v"), str(FOLDER / "memory.v"), "gatewright.v"]
    command = ["iverilog", "-g2012", "-Wall", "-s", "icarus_bench", *given, "-o", "bench.vvp", *sources]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"Icarus does not compile it cleanly:\n{done.stderr[:4000]}")
    return folder / "bench.vvp"


def play(program: Path, listed: list[Step], stall: bool, seed: int) -> int:
    """Run the steps, print a row for each; returns how many are wrong."""
    write_steps(listed, program.parent, stall)
    command = ["vvp", "-N", program.name, "+steps=steps.txt", f"+stall={int(stall)}", f"+seed={seed}"]
    results: dict[int, dict[str, int]] = {}
    notes: list[str] = []
    ended = False
    wrong = 0
    with subprocess.Popen(
        command, cwd=program.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            words = line.split()
            if words[:1] == ["step"] and len(words) > 3:
                number = int(words[1])
                result = {n: int(v) if v.isdigit() else -1 for n, v in zip(words[2::2], words[3::2], strict=True)}
                results[number] = result
                faults = listed[number].wrong(result, not stall)
                wrong += bool(faults)
                cycles = result["cycles"]
                print(f"{listed[number].what:70} {cycles:7} {'; '.join(faults) or 'right'}", flush=True)
                notes = [] if not faults else notes
            elif words[:1] == ["end"]:
                ended = True
            else:
                notes.append(line.rstrip())
    missing = len(listed) - len(results)
    if notes:
        print("\n".join(notes[:20]))
    if missing or not ended or run.returncode != 0:
        print(f"{missing} of {len(listed)} steps were not reached")
    return wrong + missing + (not ended)


def main() -> int:
    """Parse the options, run, print; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.icarus", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the programs, the moments and the pauses; by default a random one")
    parser.add_argument("--rounds", type=int, default=1, help="times that all is done, with other programs")
    options = parser.parse_args()
    if shutil.which("iverilog") is None or shutil.which("vvp") is None:
        sys.exit("gatewright: error: Icarus Verilog is missing; install it (Debian: apt-get install iverilog)")
    seed = int(np.random.default_rng().integers(1 << 30)) if options.seed is None else options.seed
    again = f"python -m tests.icarus --seed {seed} --rounds {options.rounds}"
    print(f"again: {again}", flush=True)
    listed = list(steps(seed, options.rounds, network()))
    text = to_verilog(ARCH)
    begin = time.perf_counter()
    wrong = 0
    for power, verilog in (("as it is", text), ("without initial values", without_initial_values(text))):
        with tempfile.TemporaryDirectory() as temporary:
            program = build(verilog, Path(temporary))
            for stall in (False, True):
                print(f"\nVerilog {power}, {'random pauses on every channel' if stall else 'no pauses'}")
                print(f"{'step':70} {'CYCLES':>7} result")
                wrong += play(program, listed, stall, seed)
    print(f"\n{4 * len(listed) - wrong} of {4 * len(listed)} steps right, {time.perf_counter() - begin:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
