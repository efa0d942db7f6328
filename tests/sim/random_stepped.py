"""Random programs on random machines: the stepped simulator against the fast one and a numpy oracle.

``python -m tests.sim.random_stepped --machines 200 --programs 10`` takes machines of every size that ``ArchConfig``
allows, and on each as many programs; every second one is of the corners. ``--traffic`` has programs of LOADs and STOREs
instead, each on the machine of its own seed with one channel for reads and writes. ``--images`` has programs of the
corners for up to three images in one start, each on the machine of its own seed. A failure prints the command that
repeats it alone; the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

import numpy as np

from gatewright.contract.errors import GatewrightError
from gatewright.contract.trace import first_difference
from gatewright.sim.fast.machine import simulate_images
from gatewright.sim.stepped import step_simulate, step_simulate_images
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_images import random_images
from gatewright.verify.kit.generate.random_machines import random_machine
from gatewright.verify.kit.generate.random_programs import random_network
from gatewright.verify.kit.generate.random_traffic import random_traffic
from tests.sim.stepped.test_random import assert_expected, assert_same


def check(machine: int, seed: int) -> None:
    """Run the program of a seed on a machine; raise where anything differs."""
    generate = random_corners if seed % 2 else random_network
    network, program = generate(seed, random_machine(machine))
    stepped = step_simulate(program)
    assert_expected(network, stepped)
    assert_same(program, stepped)


def check_traffic(seed: int) -> None:
    """Run LOADs and STOREs on a shared channel; raise where anything differs."""
    program, expected = random_traffic(seed)
    stepped = step_simulate(program)
    np.testing.assert_array_equal(stepped.dram[: len(expected)], expected)
    assert_same(program, stepped)


def check_images(seed: int) -> None:
    """Run several images in one start; raise where anything differs, or an image is not as alone."""
    case = random_images(seed)
    fast = simulate_images(case.program, case.dram, case.images)
    case.assert_as_alone(fast)
    stepped = step_simulate_images(case.program, case.dram, case.images)
    difference = first_difference(stepped.trace, fast.trace)
    assert difference is None, f"{difference}"
    np.testing.assert_array_equal(stepped.dram, fast.dram)


def main() -> int:
    """Parse the options, run, print; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.random_stepped", description=__doc__)
    parser.add_argument("--machines", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="the first machine")
    parser.add_argument("--programs", type=int, default=10, help="on each machine")
    parser.add_argument("--first", type=int, default=0, help="the first program")
    parser.add_argument("--traffic", action="store_true", help="LOADs and STOREs on one channel")
    parser.add_argument("--images", action="store_true", help="several images in one start")
    options = parser.parse_args()
    if options.traffic or options.images:
        options.machines = 1
    begin, failed = time.perf_counter(), 0
    for machine in range(options.seed, options.seed + options.machines):
        for seed in range(options.first, options.first + options.programs):
            try:
                if options.traffic:
                    check_traffic(seed)
                elif options.images:
                    check_images(seed)
                else:
                    check(machine, seed)
            except (AssertionError, GatewrightError):
                failed += 1
                traceback.print_exc()
                kind = "--traffic " if options.traffic else "--images " if options.images else ""
                again = f"{kind}--machines 1 --seed {machine} --first {seed} --programs 1"
                print(f"again: python -m tests.sim.random_stepped {again}")
    number = options.machines * options.programs
    seconds = time.perf_counter() - begin
    machines = "random" if options.traffic or options.images else str(options.machines)
    print(f"{machines} machines: {number - failed} of {number} programs agree, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
