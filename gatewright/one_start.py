"""Several images in one start of the machine, and many images in several starts: what each gives, and when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.agreement import check_gates, check_outputs
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.reference import Outputs, ReferenceResult, run_reference
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import lay_out, values_of
from gatewright.contract.program import Program, belonging_to
from gatewright.flow import Evaluation, Network, limit_threads
from gatewright.models.datasets.images import ImageSet
from gatewright.sim.fast.machine import simulate_images
from gatewright.sim.result import SimResult

MOST = 64
"""Images of one start when there are many: their instructions all lie in memory."""


@dataclass(frozen=True)
class OneStart:
    """Several runs of a program: the cycles of each, from the end of the one before to its own.

    A run is that of an image, or of the ``together`` images that the program runs at a time. ``outputs`` are those of
    each image; ``taken`` is the number of the exit at which each has left, where that of the end is the last.
    """

    cycles: tuple[int, ...]
    outputs: tuple[Outputs, ...]
    taken: tuple[int, ...]
    together: int = 1

    @property
    def total(self) -> int:
        """Cycles from the start to the end of the last run."""
        return sum(self.cycles)

    @property
    def predictions(self) -> tuple[int, ...]:
        """The class of each image's answer; none if what it gives are maps."""
        answers = [[v for v in outputs.values() if v.dtype == np.int32] for outputs in self.outputs]
        return tuple(int(np.argmax(logits[-1])) for logits in answers if logits)


def run_in_one_start(name: str, program: Program, evaluation: Evaluation, count: int | None = None) -> OneStart:
    """Run the first images of an evaluation (all without a ``count``) one behind the other.

    What each gives, and every gate that it sees, must be what the reference says. ``program`` must serve every image:
    a live one, or one without gates. ``name`` is for messages.
    """
    return _run(name, program, evaluation.inputs[:count], evaluation.reference)


def run_in_starts(
    name: str, program: Program, network: Network, images: ImageSet, workers: int | None = None
) -> Iterator[OneStart]:
    """``run_in_one_start`` for any number of images, ``MOST`` a start, in order; starts run in parallel.

    ``workers``: processes; by default one for each core. What the reference says of an image is worked out there, too.
    """
    _check_serves(name, program)
    most = max(1, MOST // program.images) * program.images
    parts = [(first, images.behind(first)) for first in range(0, len(images), most)]
    jobs = [(f"{name}, from image {first} on", part.head(min(most, len(part)))) for first, part in parts]
    count = min(workers or os.cpu_count() or 1, len(jobs))
    with ProcessPoolExecutor(count, initializer=_start_worker, initargs=(program, network.graph)) as pool:
        yield from pool.map(_run_job, jobs)


_worker: tuple[Program, QuantisedGraph] | None = None


def _start_worker(program: Program, graph: QuantisedGraph) -> None:
    global _worker
    limit_threads()
    _worker = program, graph


def _run_job(job: tuple[str, ImageSet]) -> OneStart:
    assert _worker is not None
    (program, graph), (name, images) = _worker, job
    inputs = quantise_input(images.normalised(), graph)
    return _run(name, program, inputs, run_reference(graph, inputs))


def _run(name: str, program: Program, inputs: npt.NDArray[np.int8], reference: ReferenceResult) -> OneStart:
    _check_serves(name, program)
    dram, images = lay_out(program, list(inputs))
    result = simulate_images(program, dram, images, observe=True)
    found = [values_of(program, result.dram, images, number) for number in range(len(inputs))]
    for number, outputs in enumerate(found):
        image = f"{name}, image {number} of the start"
        check_outputs(image, outputs, reference.outputs_of(number))
        if program.live:
            run, in_it = divmod(number, program.images)
            gates = belonging_to(result.gates_of_images[run], in_it, program.images)
            check_gates(image, gates, reference.decisions_of(number))
    places = [images.outputs.place(number // program.images) for number in range(len(inputs))]
    taken = [program.left_at(result.dram[place:]) for place in places]
    return OneStart(_cycles_of_runs(result), tuple(found), tuple(taken), program.images)


def _check_serves(name: str, program: Program) -> None:
    if program.gates and not program.live:
        raise GatewrightError(
            f"{name} was compiled for the gates of one image; compile it with --live to run several in one start"
        )


def _cycles_of_runs(result: SimResult) -> tuple[int, ...]:
    """A run's records are in the program's order, so that one ends where the next number is no larger."""
    records = result.trace.records
    last = np.flatnonzero(np.diff(records["instruction"]) <= 0)
    ends = [*(int(end) for end in records["done"][last]), result.cycles]
    return tuple(int(cycles) for cycles in np.diff([0, *ends]))
