"""Random programs on the RTL and on the simulator, in lockstep.

``python -m tests.cosim.random_lockstep --programs 10000`` runs legal programs (random layers, cuts, tables, gates)
on one small machine: every event in its cycle, all memories at the end. ``--machines 4 --seed 7`` takes four machines
of random sizes instead, and the programs on each: each is a build. ``--corners`` has other programs, with early
exits, steps that SKIPs leave out, empty reductions, source masks, row tables and STOREs across 4 KiB. ``--images``
has these for up to three images in one start. ``--waits`` has programs in which any opcode waits for any unit.
``--stall`` lets the memory stall at random and compares order, bytes and AXI rules. ``--illegal`` spoils an
instruction of each program: RTL and simulator must refuse. ``--traffic`` has programs of LOADs and STOREs, and one
channel for reads and writes.
``--verilog build/synth/simulation.v`` runs a netlist in place of the RTL.
A failure prints its seed, the command that repeats it alone, and the shrunken program; the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.verify.kit.check import Agreement, check, check_illegal, machine_bench, small
from gatewright.verify.kit.generate.random_machines import random_machine
from gatewright.verify.kit.generate.random_traffic import shared


def run(arch: ArchConfig, kind: str, seeds: range, stall: int = 0, verilog: str | None = None) -> Agreement:
    """Programs of a kind, or of ``illegal`` or ``illegal corners``; those of ``traffic`` share a channel."""
    if kind == "traffic":
        arch = shared(arch)
    bench = machine_bench(arch, verilog, stall)
    if kind.startswith("illegal"):
        return check_illegal(bench, seeds, in_corners=kind.endswith("corners"))
    return check(bench, kind, seeds)


def _run(arch: ArchConfig, named: str, options: argparse.Namespace) -> bool:
    """Run the programs on a machine, print; whether all agree. ``named`` are the options that name the machine."""
    seeds = range(options.first, options.first + options.programs)
    begin = time.perf_counter()
    verilog = options.verilog and options.verilog.read_text()
    chosen = [name for name in ("traffic", "images", "waits", "illegal", "corners") if getattr(options, name)]
    program = "illegal corners" if chosen == ["illegal", "corners"] else (chosen or ["layers"])[0]
    agreement = run(arch, program, seeds, options.stall, verilog)
    same, report = agreement.agreed, agreement.difference
    kind = "illegal" if options.illegal else f"stall seed {options.stall}" if options.stall else "exact"
    kind += ", corners" * options.corners + ", traffic" * options.traffic + ", images" * options.images
    kind += ", waits" * options.waits
    print(
        f"{arch.name}, {kind}: {same} of {len(seeds)} programs agree, {time.perf_counter() - begin:.0f} s", flush=True
    )
    if report:
        print(f"seed {agreement.number}: {report}")
        extra = " --illegal" if options.illegal else f" --stall {options.stall}" if options.stall else ""
        extra += " --corners" * options.corners + " --traffic" * options.traffic + " --images" * options.images
        extra += " --waits" * options.waits
        extra += f" --verilog {options.verilog}" if verilog else ""
        seed = options.first + same
        print(f"again: python -m tests.cosim.random_lockstep {named} --first {seed} --programs 1{extra}", flush=True)
    return report is None


def main() -> int:
    """Parse the options, run, print; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.cosim.random_lockstep", description=__doc__)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--arch", default="4x4", help="a preset or a TOML file; its large memories are made smaller")
    parser.add_argument("--corners", action="store_true", help="programs of generate/random_corners.py of the kit")
    parser.add_argument("--traffic", action="store_true", help="LOADs and STOREs that share a channel")
    parser.add_argument("--waits", action="store_true", help="any opcode behind any unit")
    parser.add_argument("--images", action="store_true", help="several images in one start")
    parser.add_argument("--stall", type=int, default=0, metavar="SEED", help="random stalls of the memory")
    parser.add_argument("--illegal", action="store_true", help="spoil an instruction of each program")
    parser.add_argument("--verilog", type=Path, help="run this Verilog, of the machine with all its memories")
    parser.add_argument("--machines", type=int, default=0, help="random machines in place of --arch")
    parser.add_argument("--seed", type=int, default=0, help="the first random machine")
    options = parser.parse_args()
    if not options.machines:
        arch = load_arch(options.arch)
        return 0 if _run(arch if options.verilog else small(arch), f"--arch {options.arch}", options) else 1
    agree = True
    for machine in range(options.seed, options.seed + options.machines):
        arch = random_machine(machine, rtl=True)
        print(arch, flush=True)
        agree &= _run(arch, f"--machines 1 --seed {machine}", options)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
