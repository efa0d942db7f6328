"""Golden cycle counts: what the compiler and the cycle model make of fixed networks.

``python -m tests.end_to_end.golden`` measures them again and writes ``golden_cycles.json``.
"""

from __future__ import annotations

import json
from pathlib import Path

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from gatewright.contract.program import Program
from gatewright.sim.fast.machine import simulate
from tests.support.graphs import random_inputs, resnet_graph
from tests.support.shapes import SHAPES

PATH = Path(__file__).with_name("golden_cycles.json")
COMMAND = "python -m tests.end_to_end.golden"
NETWORKS = ("dense", "gated")
GRAPH_SEED, IMAGE_SEED = 20, 21

Figures = dict[str, int]


def program(network: str, preset: str) -> Program:
    """ResNet-20 with seeded random weights: without gates, or compiled for one image's decisions."""
    graph = resnet_graph(20, gated=network == "gated", seed=GRAPH_SEED)
    sample = random_inputs(graph, 1, IMAGE_SEED)
    decisions = {name: decided[0] for name, decided in run_reference(graph, sample).decisions.items()}
    return Compiler(graph, PRESETS[preset]).compile(decisions, sample[0])


def measure(network: str, preset: str) -> Figures:
    """Total cycles and instructions of one program."""
    compiled = program(network, preset)
    return {"cycles": simulate(compiled).cycles, "instructions": len(compiled.code)}


def read() -> dict[str, Figures]:
    """The golden figures by ``network on preset``."""
    figures: dict[str, Figures] = json.loads(PATH.read_text())
    return figures


def key(network: str, preset: str) -> str:
    """The name of a program in the file."""
    return f"{network} on {preset}"


def write() -> None:
    """Measure everything and replace the file; prints what changed."""
    before = read() if PATH.is_file() else {}
    after = {key(network, preset): measure(network, preset) for network in NETWORKS for preset in SHAPES}
    PATH.write_text(json.dumps(after, indent=1) + "\n")
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            print(f"{name}: {before.get(name)} -> {after.get(name)}")
    print(f"{PATH.name}: {len(after)} programs")


if __name__ == "__main__":
    write()
