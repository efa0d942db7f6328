"""Trained networks on real images: every tensor and gate of every run against the integer reference.

``python -m tests.end_to_end.campaign --network dgnet-resnet20-0.4 --images 256`` compares the packaged
sample's images and exits with 1 if anything differs. A path to a checkpoint works as a name.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import load_sample
from tests.support.chain import compare_image

PROCESSES = 2
BATCH = 8
"""Images whose reference tensors are kept at a time."""


@dataclass
class Totals:
    """What was compared so far; ``different`` names the image and the tensor or gate."""

    images: int = 0
    tensors: int = 0
    values: int = 0
    gate_bits: int = 0
    different: tuple[str, ...] = ()

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.images + other.images,
            self.tensors + other.tensors,
            self.values + other.values,
            self.gate_bits + other.gate_bits,
            self.different + other.different,
        )


_network: flow.Network | None = None
_compiler: Compiler | None = None


def _start(network_name: str, arch_name: str) -> None:
    global _network, _compiler
    flow.limit_threads()
    _network = flow.load_network(network_name)
    _compiler = Compiler(_network.graph, load_arch(arch_name))


def _compare(job: tuple[int, int, bool]) -> Totals:
    """Compare images [first, end) of the sample."""
    first, end, audit = job
    assert _network is not None and _compiler is not None
    inputs = quantise_input(load_sample().normalised()[first:end], _network.graph)
    reference = run_reference(_network.graph, inputs, keep=True)
    totals = Totals()
    for position, sample in enumerate(inputs):
        one = compare_image(_compiler, np.ascontiguousarray(sample), reference, position, audit=audit)
        names = tuple(f"image {first + position}: {name}" for name in one.different)
        totals += Totals(1, one.tensors, one.values, one.gate_bits, names)
    return totals


def run(network: str, images: int, arch: str, audit: bool) -> Totals:
    """Compare the sample's first images on ``PROCESSES`` processes."""
    images = len(load_sample().head(images))
    jobs = [(first, min(first + BATCH, images), audit) for first in range(0, images, BATCH)]
    with ProcessPoolExecutor(PROCESSES, initializer=_start, initargs=(network, arch)) as pool:
        return sum(pool.map(_compare, jobs), Totals())


def main() -> int:
    """Parse the options, run, print; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.campaign", description=__doc__)
    parser.add_argument("--network", required=True, help="a network of the zoo, or a checkpoint with its ranges")
    parser.add_argument("--images", type=int, default=256, help="of the packaged sample, from the first on")
    parser.add_argument("--arch", default="ultra96", help="a preset or a TOML file")
    parser.add_argument("--audit", action="store_true", help="also prove the absence of races")
    options = parser.parse_args()
    try:
        flow.load_network(options.network)  # its faults in one line, before processes are started
        totals = run(options.network, options.images, options.arch, options.audit)
    except GatewrightError as error:
        print(f"campaign: error: {error}", file=sys.stderr)
        return 2
    audited = ", audited" if options.audit else ""
    print(f"{options.network} on {options.arch}{audited}")
    print(f"images              {totals.images:,}")
    print(f"tensors compared    {totals.tensors:,}")
    print(f"values compared     {totals.values:,} bytes")
    print(f"gate bits compared  {totals.gate_bits:,}")
    print(f"differences         {len(totals.different):,}")
    for difference in totals.different[:20]:
        print(f"  {difference}")
    return 1 if totals.different else 0


if __name__ == "__main__":
    sys.exit(main())
