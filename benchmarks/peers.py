"""Other tools on the same layers and array in one run: cycles, utilisation, seconds, memory, and who checked them.

``python benchmarks/peers.py --network resnet20 --verify``. SCALE-Sim 3.0.0 and ZigZag 3.9.1 have environments of their
own under the folder of ``--out``, made from the package index at the first run. All take a network without gates: the
others know none. ``--verify`` runs our program on the RTL in this run, too.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this one, run as a script

from benchmarks.environments import peak_mib
from benchmarks.scale_sim import ScaleSimLayer, run_scale_sim, scale_sim_layers
from benchmarks.zigzag import run_zigzag
from gatewright import flow
from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.contract.errors import GatewrightError


@dataclass(frozen=True)
class Row:
    """A tool's answer: ``equal`` says whether its cycles were compared with RTL, and by what."""

    tool: str
    cycles: int
    utilisation: float
    seconds: float
    memory_mib: int
    equal: str


def ours(name: str, arch: ArchConfig, macs: int, verify: bool) -> Row:
    """Compile the dense network and simulate an image, values included, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        cycles, seconds, memory = pool.submit(_measured, name, arch).result()
    said = _verified(name, arch, cycles) if verify else "by gatewright verify, not in this run"
    return Row("Gatewright", cycles, macs / (cycles * arch.peak_macs), seconds, memory, said)


def _measured(name: str, arch: ArchConfig) -> tuple[int, float, int]:
    """Cycles, seconds and MiB of compiling and simulating an image, behind one that fills the caches of kernels."""
    from gatewright.sim.fast.machine import simulate

    flow.limit_threads()
    network = flow.load_network(name)
    sample = flow.evaluate(network, network.spec.data.test_images(None, 1)).inputs[0]
    simulate(flow.compile_dense(network, arch, sample))
    begin = time.perf_counter()
    cycles = simulate(flow.compile_dense(network, arch, sample)).cycles
    seconds = time.perf_counter() - begin
    return cycles, seconds, peak_mib()


def _verified(name: str, arch: ArchConfig, cycles: int) -> str:
    """What the RTL says of the program: every event in its cycle, every byte."""
    from gatewright.verify import design
    from gatewright.verify.expectations import expect
    from gatewright.verify.lockstep import Bench, capacity_for, verify

    network = flow.load_network(name)
    sample = flow.evaluate(network, network.spec.data.test_images(None, 1)).inputs[0]
    expectation = expect(flow.compile_dense(network, arch, sample), writes=False)
    (result,) = verify(Bench(design.machine_verilog(arch), arch, capacity_for([expectation])), [expectation])
    if result.difference is not None or result.cycles != cycles:
        raise GatewrightError(f"the RTL differs: {result.difference or f'{result.cycles} cycles, not {cycles}'}")
    return f"yes: {result.cycles:,} cycles in Verilator, {result.events:,} events in their cycle, in this run"


def peers(layers: list[ScaleSimLayer], arch: ArchConfig, folder: Path) -> list[Row]:
    """The others."""
    scale_sim = run_scale_sim(layers, arch, folder)
    zigzag = run_zigzag(layers, arch, folder)
    return [
        Row(
            "SCALE-Sim 3.0.0",
            scale_sim.cycles,
            scale_sim.utilisation,
            scale_sim.seconds,
            scale_sim.memory_mib,
            "no RTL comes with it",
        ),
        Row(
            "ZigZag 3.9.1",
            zigzag.cycles,
            zigzag.utilisation,
            zigzag.seconds,
            zigzag.memory_mib,
            "no RTL comes with it (an analytical model)",
        ),
    ]


def table(rows: list[Row]) -> str:
    """In Markdown."""
    lines = [
        "| tool | cycles | utilisation | seconds | MiB | equal to its own RTL |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        figures = f"{row.cycles:,} | {row.utilisation:.1%} | {row.seconds:.2f} | {row.memory_mib:,}"
        lines.append(f"| {row.tool} | {figures} | {row.equal} |")
    return "\n".join(lines)


def main() -> None:
    """Run all, print the table, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--network", default="resnet20", help="of the zoo, a checkpoint or a .pt2; its gates are left out"
    )
    parser.add_argument("--arch", default="ultra96", help="a preset or a TOML file")
    parser.add_argument("--verify", action="store_true", help="run our program on the RTL in this run, too")
    parser.add_argument("--out", type=Path, default=Path("build/peers/peers.json"), help="JSON file to write")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        arch = load_arch(options.arch)
        layers = scale_sim_layers(flow.load_network(options.network).graph)
        macs = sum(layer.macs for layer in layers)
        rows = [ours(options.network, arch, macs, options.verify), *peers(layers, arch, options.out.parent)]
    except GatewrightError as error:
        parser.exit(2, f"peers: error: {error}\n")
    print(
        f"{options.network} without gates, {arch.rows}x{arch.columns} weight stationary, {macs:,} multiply-accumulates"
    )
    print(f"on {platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    print(table(rows))
    options.out.write_text(json.dumps([vars(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
