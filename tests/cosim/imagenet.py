"""``python -m tests.cosim.imagenet``: a synthetic network on the RTL, in lockstep with the simulator.

One image: every map, gate and logit of the simulator against the integer reference, with the audit, then every
instruction's cycles and the final state of the RTL against the simulator. Those of table 3 run gated and dense, or with
``--live`` by one program for every image; those of ``benchmarks/growth.py`` have no gates. Minutes.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import numpy.typing as npt

from benchmarks.gated_cases import MASKS, MODES
from benchmarks.growth import NETWORKS, prepared
from benchmarks.published import PAPER
from benchmarks.synthetic_networks import aim_for_ratio
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.contract.arch import load_arch
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.support.chain import compare_image

AIMED_WITH = 8
"""Images that the network's densities are set with."""


def gated_and_dense(options: argparse.Namespace) -> tuple[dict[str, QuantisedGraph], npt.NDArray[np.int8]]:
    """A network of table 3 with gates and without, and an image."""
    paper, mode = PAPER[options.network], MODES["equal"]
    images = noise_images(AIMED_WITH, options.size, options.seed, IMAGENET, MASKS["independent"])
    ratio = 1 / paper.theoretical
    spec = NetworkSpec(paper.depth, "dual", round(ratio, 2), 1000, options.size, "resnet-imagenet")
    aimed = aim_for_ratio(spec, images, ratio, options.seed, mode.channel_part, mode.spread)
    return {"gated": aimed.graph, "dense": without_gates(aimed.graph)}, aimed.inputs[0]


def without(name: str) -> tuple[dict[str, QuantisedGraph], npt.NDArray[np.int8]]:
    """A network that has no gates, and an image."""
    graph, image = prepared(*NETWORKS[name])
    return {"dense": graph}, image


def main() -> int:
    """Run one network; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=[*PAPER, *NETWORKS], default="R18-60")
    parser.add_argument("--arch", default="ultra96", help="preset or TOML file")
    parser.add_argument("--size", type=int, default=224, help="edge of an image in pixels, of the networks of table 3")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--live", action="store_true", help="the program for every image, in place of the image's own")
    parser.add_argument("--no-audit", action="store_true", help="do not look for races, which takes most of the time")
    options = parser.parse_args()
    arch = load_arch(options.arch)
    print(f"SYNTHETIC {options.network} on {arch.name}, seed {options.seed}: no accuracy", flush=True)
    graphs, image = gated_and_dense(options) if options.network in PAPER else without(options.network)
    if options.live:
        graphs = {"gated": graphs["gated"]} if "gated" in graphs else {}
        if not graphs:
            parser.error(f"--live: {options.network} has no gates")
    programs = []
    for name, graph in graphs.items():
        reference = run_reference(graph, image[None], keep=True)
        begin = time.perf_counter()
        compiler = Compiler(graph, arch)
        live = compiler.compile_live() if options.live else None
        compared = compare_image(compiler, image, reference, 0, audit=not options.no_audit, live=live)
        seconds = time.perf_counter() - begin
        same = "equal the reference" if not compared.different else f"DIFFER: {', '.join(compared.different)}"
        print(
            f"{name}: {compared.tensors} tensors, {compared.gate_bits:,} gate bits {same}; {seconds:.1f} s", flush=True
        )
        if compared.different:
            return 1
        programs.append(compared.program)
    expectations = [expect(program, writes=False) for program in programs]
    bench = lockstep.Bench(design.machine_verilog(arch), arch, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    for result in results:
        rate = result.cycles / result.seconds / 1000
        found = result.difference or "no difference"
        print(f"RTL: {result.cycles:,} cycles, {result.events:,} events: {found}; {rate:.0f} kcycles/s", flush=True)
    return int(any(result.difference is not None for result in results) or len(results) < len(programs))


if __name__ == "__main__":
    sys.exit(main())
