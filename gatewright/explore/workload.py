"""Networks with their images and what must come out, and their cycles on a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gatewright import flow
from gatewright.agreement import check_outputs
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.graph.reference import Outputs, run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.contract.arch import ArchConfig, DramConfig
from gatewright.contract.program import Program
from gatewright.explore.space import NetworkUse
from gatewright.sim.fast.machine import Schedules


@dataclass(frozen=True)
class Workload:
    """A network and N images: what does not depend on the machine, made once for a whole search.

    ``inputs`` int8 [N, height, width, channels]; ``decisions`` and ``expected`` results of each. Without gates there is
    one image, since cycles do not depend on it.
    """

    name: str
    share: float
    live: bool
    graph: QuantisedGraph
    inputs: npt.NDArray[np.int8]
    decisions: tuple[Decisions, ...]
    expected: tuple[Outputs, ...]


def load_workload(use: NetworkUse) -> Workload:
    """Capture, quantise and evaluate a network on its images."""
    network = flow.load_network(use.name)
    evaluation = flow.evaluate(network, network.spec.data.test_images(use.data, use.images))
    graph, reference = network.graph, evaluation.reference
    decisions = tuple(evaluation.decisions(number) for number in range(use.images))
    if use.program == "dense" or not decisions[0]:
        graph = without_gates(graph)
        inputs = evaluation.inputs[:1]
        only = run_reference(graph, inputs).outputs_of(0)
        return Workload(use.name, use.share, False, graph, inputs, ({},), (only,))
    expected = tuple(reference.outputs_of(number) for number in range(use.images))
    return Workload(use.name, use.share, use.program == "live", graph, evaluation.inputs, decisions, expected)


def programs(work: Workload, arch: ArchConfig) -> list[Program]:
    """The program of each image, which is in it: one for all but for its input, or compiled for its decisions."""
    compiler = Compiler(work.graph, arch)
    if work.live:
        program = compiler.compile_live()
        return [replace(program, image=program.with_sample(sample)) for sample in work.inputs]
    return [compiler.compile(each, sample) for each, sample in zip(work.decisions, work.inputs, strict=True)]


def run(work: Workload, arch: ArchConfig, drams: Sequence[DramConfig]) -> list[list[int]]:
    """Cycles of every image, for each of some DRAMs behind the machine: [DRAM][image].

    Each image's results must be the reference's. What does not fit the machine is a ``GatewrightError``.
    """
    cycles: list[list[int]] = [[] for _ in drams]
    for number, program in enumerate(programs(work, arch)):
        schedules = Schedules(program, program.image)
        check_outputs(f"{work.name}, image {number}", program.values(schedules.dram), work.expected[number])
        for runs, dram in zip(cycles, drams, strict=True):
            runs.append(schedules.with_dram(dram)[1])
    return cycles
