"""Several images in one start of the machine: what each of them gives, and when it is through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gatewright.compiler.graph.reference import Outputs
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import lay_out, values_of
from gatewright.contract.program import Program
from gatewright.flow import Evaluation, check_outputs
from gatewright.sim.fast.machine import simulate_images
from gatewright.sim.result import SimResult


@dataclass(frozen=True)
class OneStart:
    """Several runs of a program: the cycles of each, from the end of the one before to its own, and the results of
    each image. A run is that of an image, or of the ``together`` images that the program runs at a time."""

    cycles: tuple[int, ...]
    outputs: tuple[Outputs, ...]
    together: int = 1

    @property
    def total(self) -> int:
        """Cycles from the start to the end of the last run."""
        return sum(self.cycles)


def run_in_one_start(name: str, program: Program, evaluation: Evaluation, count: int | None = None) -> OneStart:
    """Run the first images of an evaluation (all without a ``count``) one behind the other.

    What each gives must be what the reference says. ``program`` must serve every image: a live one, or one without
    gates. ``name`` is for messages.
    """
    if program.gates and not program.live:
        raise GatewrightError(
            f"{name} was compiled for the gates of one image; compile it with --live to run several in one start"
        )
    samples = list(evaluation.inputs[:count])
    dram, images = lay_out(program, samples)
    result = simulate_images(program, dram, images)
    found = [values_of(program, result.dram, images, number) for number in range(len(samples))]
    for number, outputs in enumerate(found):
        check_outputs(f"{name}, image {number} of the start", outputs, evaluation.reference.outputs_of(number))
    return OneStart(_cycles_of_runs(result), tuple(found), program.images)


def _cycles_of_runs(result: SimResult) -> tuple[int, ...]:
    """A run's records are in the program's order, so that one ends where the next number is no larger."""
    records = result.trace.records
    last = np.flatnonzero(np.diff(records["instruction"]) <= 0)
    ends = [*(int(end) for end in records["done"][last]), result.cycles]
    return tuple(int(cycles) for cycles in np.diff([0, *ends]))
