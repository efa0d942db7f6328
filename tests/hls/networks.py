"""``python -m tests.hls.networks --images 64``: networks of the zoo on the HLS C++, the simulator and the reference.

Each network as a live program for all images in one start, and for the first image replayed and, where it has gates,
dense. Logits must be the integer reference's; DRAM, scratchpad, masks and tables the fast simulator's. ``--sanitize``
runs all with the sanitizers of addresses and undefined behaviour. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.contract.arch import load_arch
from gatewright.contract.images import lay_out
from gatewright.hw.hls.csim import Job, build, run_csim
from tests.hls.agreement import difference, simulated

NETWORKS = ("dgnet-resnet20-0.4", "exits-resnet20")


def check(name: str, options: argparse.Namespace) -> bool:
    """Run a network's programs; print a line for each, and whether nothing differs."""
    arch = load_arch(options.arch)
    binary = build(arch, sanitize=options.sanitize)
    network = flow.load_network(name)
    images = network.spec.data.test_images(None, options.images)
    inputs = list(quantise_input(images.normalised(), network.graph))
    reference = run_reference(network.graph, np.stack(inputs))
    compiler = Compiler(network.graph, arch)
    programs = {"live": (flow.compile_live(network, arch), inputs)}
    programs["replayed"] = compiler.compile(reference.decisions_of(0), inputs[0]), inputs[:1]
    good = True
    for kind, (program, samples) in programs.items():
        run = run_csim(binary, program, samples)
        job = (
            Job(program, *lay_out(program, samples))
            if len(samples) > 1
            else Job(program, program.with_sample(samples[0]))
        )
        wrong = difference(run.left, simulated(job))
        other = sum(not np.array_equal(one, reference.logits[n]) for n, one in enumerate(run.logits))
        each = run.left.seconds / len(samples)
        print(
            f"{name}, {kind}: {len(samples)} images, {run.left.instructions} instructions, {other} with other logits, "
            f"{wrong or 'no byte differs'}; {each:.3f} s of processor time an image",
            flush=True,
        )
        good = good and not wrong and other == 0
    dense = flow.compile_dense(network, arch, inputs[0])
    run = run_csim(binary, dense, [])
    wrong = difference(run.left, simulated(Job(dense, dense.image)))
    print(f"{name}, dense: {wrong or 'no byte differs'}; {run.left.seconds:.3f} s of processor time", flush=True)
    return good and not wrong


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.hls.networks", description=__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--arch", default="ultra96")
    parser.add_argument("--sanitize", action="store_true")
    options = parser.parse_args()
    return 0 if all([check(name, options) for name in options.networks]) else 1


if __name__ == "__main__":
    sys.exit(main())
