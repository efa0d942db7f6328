"""Did a change of the compiler change a program? Digests of instructions and images, and cycles, to compare.

``python -m tests.end_to_end.program_digests --write before.json`` compiles the networks of the zoo for some images, and
without gates, on several machines; on another commit, ``--against before.json`` names the programs that differ, and
exits with 1 if any does. Only what is meant to change a program may.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.contract.program import Program
from gatewright.models.zoo.catalogue import names
from gatewright.sim.fast.machine import simulate
from tests.support.shapes import SHAPES

Digest = dict[str, Any]


def programs(name: str, images: int) -> Iterator[tuple[str, Program]]:
    """A network's programs on every preset, by a name."""
    network = flow.load_network(name)
    evaluation = flow.evaluate(network, network.spec.family.data.sample().head(images))
    for preset in SHAPES:
        arch = PRESETS[preset]
        yield f"{name} {preset} dense", flow.compile_dense(network, arch, evaluation.inputs[0])
        compiler = Compiler(network.graph, arch)
        for image in range(images if network.spec.gating != "none" else 1):
            program = compiler.compile(evaluation.decisions(image), evaluation.inputs[image])
            yield f"{name} {preset} image {image}", program


def digest(program: Program) -> Digest:
    """SHA-256 of instructions and of the DRAM image, and the cycles that the program takes."""
    return {
        "instructions": hashlib.sha256(program.code.tobytes()).hexdigest(),
        "image": hashlib.sha256(program.image.tobytes()).hexdigest(),
        "cycles": int(simulate(program).cycles),
    }


def differences(before: dict[str, Digest], after: dict[str, Digest]) -> list[str]:
    """A line for every program that is not the same, or only in one of them."""
    lines = [f"{name}: only {'before' if name in before else 'after'}" for name in sorted(before.keys() ^ after.keys())]
    for name in sorted(before.keys() & after.keys()):
        changed = [key for key, value in before[name].items() if after[name][key] != value]
        if changed:
            cycles = f", {before[name]['cycles']:,} -> {after[name]['cycles']:,}" if "cycles" in changed else ""
            lines.append(f"{name}: other {', '.join(changed)}{cycles}")
    return lines


def main() -> int:
    """Parse the options, compile, simulate, compare; 1 if a program differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.program_digests", description=__doc__)
    parser.add_argument("--images", type=int, default=4, help="of each gated network")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FILE")
    what.add_argument("--against", type=Path, metavar="FILE")
    options = parser.parse_args()
    flow.limit_threads()
    made = {
        label: digest(program)
        for name in tqdm(names(), "networks")
        for label, program in programs(name, options.images)
    }
    if options.write is not None:
        options.write.write_text(json.dumps(made, indent=1) + "\n")
        print(f"{len(made)} programs in {options.write}")
        return 0
    lines = differences(json.loads(options.against.read_text()), made)
    print("\n".join([*lines, f"{len(made)} programs, {len(lines)} differ"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
