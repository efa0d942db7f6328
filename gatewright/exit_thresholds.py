"""Thresholds of early exits from images: those at which given shares of them leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.contract.errors import GatewrightError
from gatewright.contract.exits import with_thresholds
from gatewright.contract.program import Program
from gatewright.flow import Network, with_limits_of
from gatewright.models.datasets.images import ImageSet


def tuned(
    program: Program, network: Network, images: ImageSet, shares: Sequence[float]
) -> tuple[Program, tuple[int, ...]]:
    """A live program at whose exits, in order of execution, shares of all images leave; and how many do, and stay.

    Each exit gets one threshold for all classes: the integer logit that the nearest number of the images still there
    reaches with their largest one. Images with the same largest logit leave together, so that it may be a few more.

    ``network`` is what ``program`` was compiled from. Shares that are not one for each exit, below 0 or in all above 1,
    are a ``GatewrightError``.
    """
    if len(shares) != len(program.exits) or min(shares, default=0) < 0 or sum(shares) > 1:
        raise GatewrightError(
            f"shares {', '.join(f'{share:g}' for share in shares)} for {len(program.exits)} early exits; give one "
            "each, 0 or more, at most 1 in all"
        )
    inputs = quantise_input(images.normalised(), network.graph)
    reference = run_reference(with_limits_of(network, program).graph, inputs)
    units = {output.name: output.scale for output in program.outputs}
    there = np.ones(len(images), np.bool_)
    for record, share in zip(program.exits, shares, strict=True):
        logits = reference.outputs[record.output].max(1).astype(np.int64)
        largest = np.sort(logits[there])[::-1]
        leaving = min(round(share * len(images)), len(largest))
        limit = largest[leaving - 1] if leaving else np.inf
        # Between this integer logit and the one below, so that rounding does not matter.
        program = with_thresholds(program, record.name, (float(limit) - 0.5) * units[record.output])
        there &= logits < limit
    changed = run_reference(with_limits_of(network, program).graph, inputs)
    return program, tuple(int(n) for n in np.bincount(changed.taken, minlength=len(program.exits) + 1))
