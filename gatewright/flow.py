"""The whole flow, from a checkpoint to records of runs: the list of stages that the commands share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from gatewright.agreement import check_outputs, check_run
from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.frontend.exported import SUFFIX as EXPORTED
from gatewright.compiler.graph.blocks import GatedBlock, gated_blocks
from gatewright.compiler.graph.flips import FlipReport, flip_report
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.graph import Decisions, FloatGraph, QuantisedGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import Outputs, ReferenceResult, run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.kinds.exit import QuantisedExit
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.compiler.plan.residency import ResidencyPlan, residency
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.compiler.quantise.ranges import read_ranges, save_ranges
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.exits import limits_of
from gatewright.contract.program import Program
from gatewright.measure.block_work import block_work
from gatewright.measure.records import ImageRecord, RunRecord, record_run
from gatewright.models.accuracy import why_no_accuracy
from gatewright.models.checkpoints import checkpoint as files
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.own import OwnSpec
from gatewright.models.zoo.catalogue import find, name_of
from gatewright.own_network import load_own
from gatewright.sim.fast.machine import simulate

CALIBRATION_IMAGES = 512
"""Training images from which activation ranges are taken."""


@dataclass(frozen=True)
class Network:
    """A checkpoint or an exported program, captured and quantised."""

    path: Path
    spec: NetworkSpec | OwnSpec
    float_graph: FloatGraph
    graph: QuantisedGraph

    @property
    def name(self) -> str:
        """The zoo's name for it; of any other what its gates, depth and target density make."""
        return name_of(self.path, self.spec.name)


@dataclass(frozen=True)
class Evaluation:
    """A network's answers on N images: float and integer predictions [N], integer decisions and flips."""

    inputs: npt.NDArray[np.int8]
    predicted_float: npt.NDArray[np.int64]
    predicted_int8: npt.NDArray[np.int64]
    reference: ReferenceResult
    flips: FlipReport

    def decisions(self, position: int) -> Decisions:
        """The decisions on one image of the gates that it sees."""
        return self.reference.decisions_of(position)


def ranges_path(checkpoint: Path) -> Path:
    """Where a checkpoint's activation ranges lie: ``name.ranges.json`` beside it."""
    return checkpoint.with_name(checkpoint.name.removesuffix(".safetensors") + ".ranges.json")


def write_ranges(checkpoint: Path, train_set: ImageSet) -> Path:
    """Measure activation ranges on training images and write them beside the checkpoint."""
    network, spec = files.load_network(checkpoint)
    images = train_set.source.normalise(train_set.images[:CALIBRATION_IMAGES])
    ranges = calibrate(capture(network, spec.input_shape), images)
    save_ranges(ranges_path(checkpoint), ranges)
    return ranges_path(checkpoint)


def load_network(name_or_path: str | Path) -> Network:
    """Load, capture and quantise a network: of the zoo by its name, a checkpoint's file, or an exported program's."""
    path = find(name_or_path)
    if path.suffix == EXPORTED:
        return Network(path, *load_own(path))
    network, spec = files.load_network(path)
    sidecar = ranges_path(path)
    if not sidecar.is_file():
        raise GatewrightError(
            f"{path.name} has no activation ranges ({sidecar.name} beside it); "
            f"make them with: gatewright calibrate {path} --data {spec.data.name}"
        )
    ranges = read_ranges(sidecar)
    float_graph = capture(network, spec.input_shape)
    return Network(path, spec, float_graph, quantise(float_graph, ranges))


def evaluate(network: Network, images: ImageSet) -> Evaluation:
    """Float and integer answers on a set of images."""
    pixels = images.normalised()
    inputs = quantise_input(pixels, network.graph)
    floats = run_float(network.float_graph, pixels)
    reference = run_reference(network.graph, inputs)
    return Evaluation(
        inputs,
        floats.predictions,
        reference.predictions,
        reference,
        flip_report(floats.decisions, reference.decisions),
    )


def compile_dense(network: Network, arch: ArchConfig, sample: npt.NDArray[np.int8] | None = None) -> Program:
    """The dense baseline of a network: the same layers without gates."""
    return Compiler(without_gates(network.graph), arch).compile({}, sample)


def compile_live(network: Network, arch: ArchConfig) -> Program:
    """The program that serves every image: its gates are decided on the machine."""
    return Compiler(network.graph, arch).compile_live()


def with_limits_of(network: Network, program: Program) -> Network:
    """The network with the thresholds of early exits that a live program of it has, in integers.

    ``contract.exits.with_thresholds`` may have changed them there. An exit of the program that the network does not
    have is a ``GatewrightError``.
    """
    limits = {record.name: limits_of(program, record) for record in program.exits if program.live}
    layers = list(network.graph.layers)
    for place, layer in enumerate(layers):
        if isinstance(layer, QuantisedExit) and layer.name in limits:
            layers[place] = replace(layer, limits=limits.pop(layer.name))
    if limits:
        raise GatewrightError(
            f"the program's early exit {next(iter(limits))} is none of {network.path.name}; give the network that it "
            "was compiled from"
        )
    return replace(network, graph=replace(network.graph, layers=layers))


def plan(graph: QuantisedGraph, arch: ArchConfig, decisions: Decisions | None = None) -> ResidencyPlan:
    """The residency plan of a network: for a sample with these decisions, or with all gates on."""
    compiler = Compiler(graph, arch)
    if decisions is None:
        gates = [layer for layer in graph.layers if isinstance(layer, QuantisedGate | QuantisedExit)]
        on = {gate.name: not isinstance(gate, QuantisedExit) for gate in gates}  # nobody leaves before the end
        decisions = {gate.name: np.full(gate.decision_shape, on[gate.name]) for gate in gates}
    return residency(compiler.image, compiler.compile(decisions))


def dense_record(network: Network, arch: ArchConfig, sample: npt.NDArray[np.int8]) -> RunRecord:
    """Simulate the dense baseline; its cycles do not depend on the sample, its results are checked."""
    program = compile_dense(network, arch)
    result = simulate(program, sample)
    expected = run_reference(without_gates(network.graph), sample[None]).outputs_of(0)
    check_outputs("the dense program", result.outputs, expected)
    work = block_work(network.graph, gated_blocks(network.graph), None)
    return record_run(program, result, counted_macs(network.graph, None), work)


@dataclass(frozen=True)
class _Job:
    position: int
    sample: npt.NDArray[np.int8]
    decisions: Decisions
    expected: Outputs


_worker: tuple[QuantisedGraph, Sequence[GatedBlock], Compiler, Program | None] | None = None


def _start_worker(graph: QuantisedGraph, arch: ArchConfig, live: bool) -> None:
    global _worker
    compiler = Compiler(graph, arch)
    _worker = graph, gated_blocks(graph), compiler, compiler.compile_live() if live else None


def _run_job(job: _Job) -> tuple[int, RunRecord, int | None]:
    """Position, record, and with a live program the cycles of the one that is compiled for the image."""
    assert _worker is not None
    graph, blocks, compiler, live = _worker
    replay = compiler.compile(job.decisions, job.sample)
    program = replay if live is None else live
    result = simulate(program, job.sample, observe=True)
    check_run(f"image {job.position}", result, job.expected, job.decisions)
    work = block_work(graph, blocks, job.decisions)
    record = record_run(program, result, counted_macs(graph, job.decisions), work)
    return job.position, record, None if live is None else simulate(replay).cycles


def run_images(
    network: Network,
    arch: ArchConfig,
    images: ImageSet,
    evaluation: Evaluation,
    workers: int | None = None,
    live: bool = False,
) -> Iterator[ImageRecord]:
    """Compile and simulate every image in order; each run is checked against the reference.

    ``live``: one program runs all images, beside the programs that are compiled for them.
    """
    judged = why_no_accuracy(network.spec, images) is None
    jobs = (
        _Job(i, evaluation.inputs[i], evaluation.decisions(i), evaluation.reference.outputs_of(i))
        for i in range(len(images))
    )
    count, taken = workers or min(os.cpu_count() or 1, 8), evaluation.reference.taken
    with ProcessPoolExecutor(count, initializer=_start_worker, initargs=(network.graph, arch, live)) as pool:
        for position, run, replay_cycles in pool.map(_run_job, jobs, chunksize=4):
            yield ImageRecord(
                index=int(images.indices[position]),
                label=int(images.labels[position]) if judged else None,
                predicted_float=_class_of(evaluation.predicted_float, position),
                predicted_int8=_class_of(evaluation.predicted_int8, position),
                run=run,
                image=images.shown(position),
                replay_cycles=replay_cycles,
                exit=int(taken[position]) if evaluation.reference.stages.exits else None,
            )


def _class_of(predictions: npt.NDArray[np.int64], position: int) -> int | None:
    """The class of an image; None where the network has no classifier."""
    return int(predictions[position]) if len(predictions) else None


@dataclass(frozen=True)
class Cycles:
    """Cycles of an image on a machine: of the dense baseline, and of the gated network, mean over ``images``."""

    arch: str
    images: int
    dense: int
    gated: float | None

    def __str__(self) -> str:
        if self.gated is None:
            return f"{self.arch}: {self.dense:,} cycles, no gates"
        return (
            f"{self.arch}: {self.dense:,} cycles dense, {self.gated:,.0f} gated (mean of {self.images} images), "
            f"speedup {self.dense / self.gated:.3f}"
        )


def measure_cycles(network: Network, arch: ArchConfig, images: ImageSet) -> Cycles:
    """Simulate every image, each checked against the reference, and the dense baseline once."""
    limit_threads()
    evaluation = evaluate(network, images)
    dense = dense_record(network, arch, evaluation.inputs[0])
    gated = None
    if any(isinstance(layer, QuantisedGate | QuantisedExit) for layer in network.graph.layers):
        gated = float(np.mean([record.run.cycles for record in run_images(network, arch, images, evaluation)]))
    return Cycles(arch.name, len(images), dense.cycles, gated)


def limit_threads() -> None:
    """One thread per process: the images are what runs in parallel."""
    torch.set_num_threads(1)
