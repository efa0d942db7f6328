"""How fast Verilator runs the RTL: kcycles per second of one core, beside a build with the tools' defaults.

``python benchmarks/rtl_speed.py [--network NAME_OR_PATH] [--images N] [--runs N] [--arch A]``
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this one, run as a script

from benchmarks.simulator_speed import PREFERRED, cpu
from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import load_arch
from gatewright.models.datasets.cifar10 import load_sample
from gatewright.verify import design, lockstep, runner
from gatewright.verify.expectations import Expectation, expect

KINDS = {"defaults": False, "tuned": True}
"""Names of the builds, and whether each is the one that ``gatewright verify`` makes."""


def run(bench: lockstep.Bench, made: runner.Build, expectations: list[Expectation]) -> tuple[int, float]:
    """(cycles, seconds of processor time) of the programs in a simulator; a difference is an error."""
    with tempfile.TemporaryDirectory(prefix="gatewright-") as name:
        job = Path(name)
        lockstep.write_jobs(bench, expectations, job)
        runner.run(made, job)
        results = [lockstep.judge(bench, expectation, job, n) for n, expectation in enumerate(expectations)]
    assert all(result.difference is None for result in results), [result.difference for result in results]
    return sum(result.cycles for result in results), sum(result.seconds for result in results)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default=PREFERRED, help="a network of the zoo, or a checkpoint with its ranges")
    parser.add_argument("--images", type=int, default=2, help="of the packaged sample, from the first on")
    parser.add_argument("--runs", type=int, default=3, help="of each build, in turns; the fastest one counts")
    parser.add_argument("--arch", default="ultra96", help="a preset or a TOML file")
    options = parser.parse_args()
    flow.limit_threads()
    arch, network = load_arch(options.arch), flow.load_network(options.network)
    evaluation, compiler = flow.evaluate(network, load_sample().head(options.images)), Compiler(network.graph, arch)
    programs = [compiler.compile(evaluation.decisions(i), evaluation.inputs[i]) for i in range(options.images)]
    expectations = [expect(program, writes=False) for program in programs]
    bench = lockstep.Bench(design.machine_verilog(arch), arch, lockstep.capacity_for(expectations))
    builds = {name: runner.build(bench.verilog, arch, bench.capacity, tuned=tuned) for name, tuned in KINDS.items()}
    cycles, seconds = 0, dict.fromkeys(KINDS, float("inf"))
    for _ in range(options.runs):
        for name, made in builds.items():
            cycles, taken = run(bench, made, expectations)
            seconds[name] = min(seconds[name], taken)
    print(f"{network.name} on {arch.name}, {cycles:,} cycles; {cpu()}, Python {platform.python_version()}")
    print(f"{'build':10} {'kcycles/s':>9} {'ratio':>7}")
    for name, taken in seconds.items():
        print(f"{name:10} {cycles / taken / 1000:9.0f} {seconds['defaults'] / taken:7.2f}")


if __name__ == "__main__":
    main()
