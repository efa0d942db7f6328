"""How fast the compiler and the simulator go: images per second for a gated ResNet-20, on one process and on two.

``python benchmarks/simulator_speed.py [--network NAME_OR_PATH] [--images N] [--arch A] [--data CIFAR10]``
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import Decisions
from gatewright.contract.arch import load_arch
from gatewright.contract.program import Program
from gatewright.models.datasets.cifar10 import load_cifar10, load_sample
from gatewright.models.datasets.images import ImageSet
from gatewright.sim.fast.machine import simulate

PREFERRED = "dgnet-resnet20-0.4"

_compiler: Compiler | None = None
Job = tuple[Decisions, npt.NDArray[np.int8]]


def cpu() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def start(compiler: Compiler) -> None:
    """Give a process its compiler, and its kernels their compilation."""
    global _compiler
    flow.limit_threads()
    _compiler = compiler


def compile_one(job: Job) -> Program:
    """One image's program."""
    assert _compiler is not None
    return _compiler.compile(*job)


def both(job: Job) -> int:
    """Compile and simulate one image; its cycles."""
    return simulate(compile_one(job)).cycles


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measure(compiler: Compiler, jobs: list[Job]) -> dict[str, float]:
    """Images per second of each kind of work, in one run, after a warm-up."""
    start(compiler)
    both(jobs[0])
    programs = [compile_one(job) for job in jobs]
    rates = {
        "compile": seconds(lambda: [compile_one(job) for job in jobs]),
        "simulate (values and cycles)": seconds(lambda: [simulate(program) for program in programs]),
        "both, one process": seconds(lambda: [both(job) for job in jobs]),
    }
    with ProcessPoolExecutor(2, initializer=start, initargs=(compiler,)) as pool:
        list(pool.map(both, jobs[:2] * 2))  # both processes are up
        rates["both, two processes"] = seconds(lambda: list(pool.map(both, jobs, chunksize=2)))
    return {name: len(jobs) / taken for name, taken in rates.items()}


def whole_test_set(network: flow.Network, compiler: Compiler, images: ImageSet) -> None:
    """Reference, then compile and simulate, on two processes; prints both times and the mean of the cycles."""
    results: list[flow.Evaluation] = []
    reference = seconds(lambda: results.append(flow.evaluate(network, images)))
    evaluation, cycles = results[0], []
    jobs = ((evaluation.decisions(i), evaluation.inputs[i]) for i in range(len(images)))
    with ProcessPoolExecutor(2, initializer=start, initargs=(compiler,)) as pool:
        taken = seconds(lambda: cycles.extend(pool.map(both, jobs, chunksize=16)))
    print(f"{len(images)} images: float and integer reference {reference:.0f} s, compile and simulate {taken:.0f} s")
    print(f"{len(images) / taken:.2f} images/s; {np.mean(cycles):,.0f} cycles in the mean")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default=PREFERRED, help="a network of the zoo, or a checkpoint with its ranges")
    parser.add_argument("--images", type=int, default=64, help="of the packaged sample, from the first on")
    parser.add_argument("--data", help="CIFAR-10; its whole test set is compiled and simulated as well")
    parser.add_argument("--arch", default="ultra96", help="a preset or a TOML file")
    options = parser.parse_args()
    flow.limit_threads()
    network = flow.load_network(options.network)
    evaluation = flow.evaluate(network, load_sample().head(options.images))
    jobs = [(evaluation.decisions(i), evaluation.inputs[i]) for i in range(options.images)]
    rates = measure(Compiler(network.graph, load_arch(options.arch)), jobs)
    one = rates["both, one process"]
    print(f"{network.name} on {options.arch}, {options.images} images; {cpu()}, Python {platform.python_version()}")
    print(f"{'work':30} {'images/s':>9} {'ratio':>7}")
    for name, rate in rates.items():
        print(f"{name:30} {rate:9.2f} {rate / one:7.2f}")
    if options.data is not None:
        whole_test_set(network, Compiler(network.graph, load_arch(options.arch)), load_cifar10(options.data, "test"))


if __name__ == "__main__":
    main()
