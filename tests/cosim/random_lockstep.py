"""Random programs on the RTL and on the simulator, in lockstep.

``python -m tests.cosim.random_lockstep --programs 10000`` runs legal programs (random layers, cuts, tables, gates)
on one small machine: every event in its cycle, all memories at the end. ``--machines 4 --seed 7`` takes four machines
of random sizes instead, and the programs on each: each is a build. ``--corners`` has other programs, with early
exits, steps that SKIPs leave out, empty reductions, source masks, row tables and STOREs across 4 KiB. ``--images``
has these for up to three images in one start. ``--stall`` lets the memory stall at random and compares order, bytes
and AXI rules. ``--illegal`` spoils an instruction of each program: RTL and simulator must refuse. ``--traffic`` has
programs of LOADs and STOREs, and one channel for reads and writes.
``--verilog build/synth/simulation.v`` runs a netlist in place of the RTL.
A failure prints its seed, the command that repeats it alone, and the shrunken program; the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.contract.registers import ErrorCode
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.verify import design, lockstep, runner
from gatewright.verify.expectations import Expectation, expect, expect_images
from gatewright.verify.kit.generate.illegal import SPOILERS, Illegal, Spoil, spoil
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_images import random_images
from gatewright.verify.kit.generate.random_machines import random_machine
from gatewright.verify.kit.generate.random_programs import Network, random_network
from gatewright.verify.kit.generate.random_traffic import random_traffic, shared
from gatewright.verify.kit.shrink import shrink

BATCH = 200
"""Programs in one process of the simulator, whose start takes as long as some twenty of them."""

BEATS = 1 << 18
"""Of DRAM: one program in some hundreds has more than a MiB."""

CAPACITY = runner.Capacity(writes=1 << 10, beats=BEATS)
"""Of the bench's memories, for all programs of the generator: one build serves them."""


def small(arch: ArchConfig) -> ArchConfig:
    """Memories of a size that a simulator's start-up does not notice."""
    return replace(arch, weight_kib=64, scratchpad_kib=64, parameter_entries=1024)


def machine_bench(arch: ArchConfig, stall: int = 0, verilog: str | None = None) -> lockstep.Bench:
    """The machine, or other Verilog with its ports, in a bench with room for any random program.

    Other Verilog comes in the bench of ``gatewright verify``, so that the two share what may take long to build.
    """
    if verilog is not None:
        return lockstep.Bench(verilog, arch, runner.Capacity(beats=BEATS), stall=stall)
    return lockstep.Bench(design.machine_verilog(arch), arch, CAPACITY, stall=stall)


def generate(seed: int, arch: ArchConfig, corners: bool) -> tuple[Network, Program]:
    """The program of a seed, of one generator or the other."""
    return random_corners(seed, arch) if corners else random_network(seed, arch)


def legal(seed: int, arch: ArchConfig, corners: bool = False) -> Expectation:
    """A random program that needs no luck: the audit holds it, and its values are those of the oracle."""
    network, program = generate(seed, arch, corners)
    simulate(program, audit=True)
    expectation = expect(program, writes=False)
    wrong = f"seed {seed}: the simulator is wrong"
    np.testing.assert_array_equal(expectation.program.logits(expectation.dram), network.logits, err_msg=wrong)
    for memory, checks in ((expectation.scratchpad, network.checks), (expectation.dram, network.dram_checks)):
        for address, values in checks:
            left = memory[address : address + values.size].view(np.int8)
            np.testing.assert_array_equal(left, values.ravel(), err_msg=f"{wrong} at {address:#x}")
    return expectation


def run_legal(
    arch: ArchConfig, seeds: range, stall: int = 0, corners: bool = False, verilog: str | None = None
) -> tuple[int, str | None]:
    """(programs that agree, report of the first one that does not)."""
    bench = machine_bench(arch, stall, verilog)
    for first in range(seeds.start, seeds.stop, BATCH):
        batch = range(first, min(first + BATCH, seeds.stop))
        expectations = [legal(seed, arch, corners) for seed in batch]
        results = lockstep.verify(bench, expectations, first=first)
        failed = results[-1]
        if failed.difference is not None:
            return failed.number - seeds.start, _report(bench, expectations[failed.number - first].program, failed)
    return len(seeds), None


def run_traffic(arch: ArchConfig, seeds: range, stall: int = 0) -> tuple[int, str | None]:
    """As ``run_legal``, with LOADs and STOREs that share a channel."""
    arch = shared(arch)
    bench = machine_bench(arch, stall)
    for first in range(seeds.start, seeds.stop, BATCH):
        expectations = []
        for seed in range(first, min(first + BATCH, seeds.stop)):
            program, expected = random_traffic(seed, arch)
            expectations.append(expect(program, writes=False))
            left = expectations[-1].dram[: len(expected)]
            np.testing.assert_array_equal(left, expected, err_msg=f"seed {seed}: the simulator is wrong")
        failed = lockstep.verify(bench, expectations, first=first)[-1]
        if failed.difference is not None:
            return failed.number - seeds.start, _report(bench, expectations[failed.number - first].program, failed)
    return len(seeds), None


def run_images(arch: ArchConfig, seeds: range, stall: int = 0) -> tuple[int, str | None]:
    """As ``run_legal``, with several images in one start."""
    bench = machine_bench(arch, stall)
    for first in range(seeds.start, seeds.stop, BATCH):
        expectations = []
        for seed in range(first, min(first + BATCH, seeds.stop)):
            case = random_images(seed, arch)
            case.assert_as_alone(simulate_images(case.program, case.dram, case.images))
            expectations.append(expect_images(case.program, case.dram, case.images, writes=False))
        failed = lockstep.verify(bench, expectations, first=first)[-1]
        if failed.difference is not None:
            return failed.number - seeds.start, f"seed {failed.number}: {failed.difference}"
    return len(seeds), None


def _report(bench: lockstep.Bench, program: Program, failed: lockstep.Verified) -> str:
    def fails(trial: Program) -> bool:
        try:
            expectation = expect(trial, writes=False)
        except GatewrightError:
            return False  # without that instruction the program is not legal
        return lockstep.verify(bench, [expectation])[0].difference is not None

    lines = [f"seed {failed.number}: {failed.difference}"]
    if fails(program):
        _, working = shrink(program, fails)
        lines.append(f"the failure needs the work of instructions {', '.join(map(str, working))} only")
    else:
        lines.append("alone the program agrees: it depends on what the programs before it left")
    return "\n".join(lines)


def _spoilt(seed: int, arch: ArchConfig, corners: bool, ways: tuple[Spoil, ...]) -> Illegal:
    program = generate(seed, arch, corners)[1]
    return spoil(np.random.default_rng(seed), program, simulate(program).trace.records["instruction"], ways)


def run_illegal(
    arch: ArchConfig,
    seeds: range,
    corners: bool = False,
    verilog: str | None = None,
    ways: tuple[Spoil, ...] = SPOILERS,
) -> tuple[int, str | None]:
    """(programs that both refuse rightly, what the first other one did)."""
    bench = machine_bench(arch, verilog=verilog)
    for first in range(seeds.start, seeds.stop, BATCH):
        batch = range(first, min(first + BATCH, seeds.stop))
        wrong = [_spoilt(seed, arch, corners, ways) for seed in batch]
        for seed, one, registers in zip(batch, wrong, lockstep.stops(bench, [w.program for w in wrong]), strict=True):
            got = (registers["STATUS"] & 0b111, registers["ERROR_CODE"], registers["ERROR_INSTRUCTION"])
            if got[:2] != (0b100, one.code) or not one.is_at(got[2]):
                code = ErrorCode(got[1]).name
                return seed - seeds.start, (
                    f"seed {seed}, {one.what}: expected {one.code.name} at {one.at}, "
                    f"got {code} at {got[2]} with STATUS {got[0]:#05b}"
                )
            try:
                simulate(one.program)
            except GatewrightError:
                continue
            return seed - seeds.start, f"seed {seed}, {one.what}: the simulator runs the program"
    return len(seeds), None


def _run(arch: ArchConfig, named: str, options: argparse.Namespace) -> bool:
    """Run the programs on a machine, print; whether all agree. ``named`` are the options that name the machine."""
    seeds = range(options.first, options.first + options.programs)
    begin = time.perf_counter()
    verilog = options.verilog and options.verilog.read_text()
    if options.illegal:
        same, report = run_illegal(arch, seeds, options.corners, verilog)
    elif options.traffic:
        same, report = run_traffic(arch, seeds, options.stall)
    elif options.images:
        same, report = run_images(arch, seeds, options.stall)
    else:
        same, report = run_legal(arch, seeds, options.stall, options.corners, verilog)
    kind = "illegal" if options.illegal else f"stall seed {options.stall}" if options.stall else "exact"
    kind += ", corners" * options.corners + ", traffic" * options.traffic + ", images" * options.images
    print(
        f"{arch.name}, {kind}: {same} of {len(seeds)} programs agree, {time.perf_counter() - begin:.0f} s", flush=True
    )
    if report:
        print(report)
        extra = " --illegal" if options.illegal else f" --stall {options.stall}" if options.stall else ""
        extra += " --corners" * options.corners + " --traffic" * options.traffic + " --images" * options.images
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
