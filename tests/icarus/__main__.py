"""``python -m tests.icarus``: the emitted Verilog in Icarus, in a bench that shares nothing with the other ones.

The 4x4 machine is powered on, reset, and runs programs back to back, behind an illegal instruction, an abort and a
reset in the middle. First with the Verilog as it is; then with registers that are unknown and memories that are random
at power-on, so that reset alone has to do, and with random pauses on every channel. Bytes, cycles (where the memory
does not pause), error registers and unknown outputs are checked. ``--network`` adds an image of a small gated ResNet
(minutes). The exit code is 1 if anything is wrong.
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

_ZEROED = re.compile(r"(for \(each_word = 0; [^)]*\) [^=]*= )(\d+)'[hd]0+;")
"""The loop that zeroes a memory at power-on."""


def after_bad_power_on(verilog: str) -> str:
    """The Verilog with registers that are unknown at power-on, and memories that hold anything.

    Not unknown memories: a product of X with a zero is X in a simulator, and 0 in every machine.
    """
    without, registers = _INITIAL.subn(r"\1 ;", verilog)
    other, memories = _ZEROED.subn(lambda found: f"{found[1]}{{{', '.join(['$random'] * _words(found[2]))}}};", without)
    assert registers > 100 and memories > 10, f"{registers} registers, {memories} memories"
    return other


def _words(bits: str) -> int:
    """Words of ``$random`` that fill so many bits."""
    return -(-int(bits) // 32)


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
                if faults and notes:
                    print("\n".join(notes[:20]), flush=True)
                notes = []
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
    parser.add_argument(
        "--network", action="store_true", help="a network's image, too, and a reset in the middle of it"
    )
    options = parser.parse_args()
    if shutil.which("iverilog") is None or shutil.which("vvp") is None:
        sys.exit("gatewright: error: Icarus Verilog is missing; install it (Debian: apt-get install iverilog)")
    seed = int(np.random.default_rng().integers(1 << 30)) if options.seed is None else options.seed
    again = f"python -m tests.icarus --seed {seed} --rounds {options.rounds}{' --network' * options.network}"
    print(f"again: {again}", flush=True)
    listed = list(steps(seed, options.rounds, network() if options.network else None))
    text = to_verilog(ARCH)
    begin = time.perf_counter()
    wrong = 0
    for power, verilog, stall in (
        ("as it is, no pauses", text, False),
        ("after a bad power-on, random pauses on every channel", after_bad_power_on(text), True),
    ):
        with tempfile.TemporaryDirectory() as temporary:
            print(f"\nVerilog {power}\n{'step':70} {'CYCLES':>7} result")
            wrong += play(build(verilog, Path(temporary)), listed, stall, seed)
    print(f"\n{2 * len(listed) - wrong} of {2 * len(listed)} steps right, {time.perf_counter() - begin:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
