"""``python -m tests.hls.campaign --programs 2000``: random programs on the HLS C++ and on the fast simulator.

Of each class a fifth of the programs: networks, corners, several images in one start, LOADs and STOREs, maps of no
columns. They run on the 4x4 array; with ``--machines 3 --seed 7`` on three machines of random sizes instead, each a
build. DRAM, scratchpad, masks and tables must be the simulator's at the end. ``--illegal`` spoils an instruction of
each program: the error code must be the expected one, the instruction the one at which the simulator stops.
``--sanitize`` runs all with the sanitizers of addresses and undefined behaviour. A failure prints its seed; the exit
code is 1.
"""

from __future__ import annotations

import argparse
import sys

from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.hw.hls.csim import build
from gatewright.verify.kit.check import small
from gatewright.verify.kit.generate.random_machines import random_machine
from tests.hls.agreement import KINDS, run_illegal, run_legal

ALONE = ("network", "corners")
"""Classes of which a program is one image: those whose instructions are spoilt."""


def run(arch: ArchConfig, options: argparse.Namespace) -> bool:
    """Run the programs on a machine and print a line for each class; whether all agree."""
    binary = build(arch, sanitize=options.sanitize, flags="-O1" if options.sanitize else "-O3")
    kinds = ALONE if options.illegal else tuple(KINDS)
    good = True
    for number, kind in enumerate(kinds):
        share = options.programs // len(kinds) + (number < options.programs % len(kinds))
        seeds = range(options.first, options.first + share)
        same, wrong = (run_illegal if options.illegal else run_legal)(binary, arch, kind, seeds)
        print(f"{arch.name}, {kind}{', illegal' * options.illegal}: {same} of {share} programs agree", flush=True)
        if wrong:
            print(f"  {wrong}", flush=True)
        good = good and not wrong
    return good


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.hls.campaign", description=__doc__)
    parser.add_argument("--programs", type=int, default=2000, help="on each machine")
    parser.add_argument("--first", type=int, default=0, help="seed of the first program")
    parser.add_argument("--arch", default="4x4", help="a preset, with smaller memories")
    parser.add_argument("--machines", type=int, default=0, help="random machines in place of --arch")
    parser.add_argument("--seed", type=int, default=0, help="of the first random machine")
    parser.add_argument("--illegal", action="store_true")
    parser.add_argument("--sanitize", action="store_true")
    options = parser.parse_args()
    machines = [random_machine(options.seed + n, rtl=True) for n in range(options.machines)]
    return 0 if all([run(arch, options) for arch in machines or [small(load_arch(options.arch))]]) else 1


if __name__ == "__main__":
    sys.exit(main())
