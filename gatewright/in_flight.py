"""Several images on the machine at the same time: throughput for latency, measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from gatewright.agreement import check_outputs
from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit.lower import gates_everywhere
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.interleave.group import Request
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program, belonging_to
from gatewright.flow import Evaluation, Network
from gatewright.measure.costs import instruction_costs
from gatewright.measure.latency import latencies
from gatewright.measure.sharing import SharingRow, sharing_row
from gatewright.sim.fast.machine import simulate


@dataclass(frozen=True)
class InFlight:
    """How images share the machine: ``together`` in a program, ``in_flight`` at a time."""

    together: int = 16
    in_flight: int = 2
    live: bool = False

    def refuse_fewer(self, images: int) -> None:
        """Images that do not fill a program are a ``GatewrightError``."""
        if images < self.together:
            raise GatewrightError(f"{images} images are fewer than the {self.together} of a program")


@dataclass(frozen=True)
class GroupRun:
    """A run of a program of several images: its cycles, and those that each image was under way."""

    cycles: int
    latencies: tuple[int, ...]


def compile_group(network: Network, arch: ArchConfig, evaluation: Evaluation, first: int, how: InFlight) -> Program:
    """The program for images [first, first + together) of an evaluation, or a live one whose order these have made."""
    numbers = range(first, first + how.together)
    live = how.live and bool(evaluation.decisions(first))
    everywhere = gates_everywhere(network.graph)
    decisions = [everywhere if live else evaluation.decisions(number) for number in numbers]
    samples = evaluation.inputs[first : first + how.together]
    request = Request(decisions, samples, how.in_flight, live)
    return Compiler(network.graph, arch).compile_group(request, instruction_costs)


def run_groups(network: Network, arch: ArchConfig, evaluation: Evaluation, how: InFlight) -> Iterator[GroupRun]:
    """Run the images of an evaluation, group by group; every output and every gate must be the reference's.

    Images beyond the last whole group are left out. A live program is made with the first group.
    """
    program = None
    for first in range(0, len(evaluation.inputs) - how.together + 1, how.together):
        if program is None or not program.live:
            program = compile_group(network, arch, evaluation, first, how)
        samples = evaluation.inputs[first : first + how.together]
        result = simulate(program, samples, observe=True)
        for number in range(how.together):
            who = f"{network.name}, image {first + number}"
            check_outputs(
                who,
                belonging_to(result.outputs, number, how.together),
                evaluation.reference.outputs_of(first + number),
            )
            gates = belonging_to(result.gates, number, how.together)
            for gate, decision in evaluation.decisions(first + number).items():
                if not np.array_equal(gates[gate], decision.reshape(-1)):
                    raise AssertionError(f"{who}: gate {gate} decides otherwise than the reference")
        yield GroupRun(result.cycles, tuple(latencies(program, result.trace)))


def sharing_rows(
    network: Network, arch: ArchConfig, evaluation: Evaluation, alone: Sequence[int], dense: int, how: InFlight
) -> list[SharingRow]:
    """Images one by one, whose cycles are ``alone``, and several at a time; whole groups of them.

    ``dense``: cycles of the dense network. Whoever waits sees a bar of the groups.
    """
    how.refuse_fewer(len(alone))
    count = len(alone) // how.together * how.together
    macs = sum(counted_macs(network.graph, evaluation.decisions(number)) for number in range(count)) / count
    about = arch.clock_mhz, dense, counted_macs(network.graph, None) / macs
    groups = run_groups(network, arch, evaluation, how)
    runs = list(tqdm(groups, f"{how.in_flight} at a time", total=count // how.together))
    latencies = [cycles for run in runs for cycles in run.latencies]
    return [
        sharing_row("alone", sum(alone[:count]), alone[:count], *about),
        sharing_row(f"{how.in_flight} in flight", sum(run.cycles for run in runs), latencies, *about),
    ]
