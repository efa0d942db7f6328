"""Synthetic networks whose integer decisions have a wanted MAC ratio: what a table of cycles is measured on.

``models/synthetic`` sets thresholds for the float network; int8 turns some decisions over, and what a machine saves
follows the integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import ReferenceResult, run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.synthesis import Synthetic, synthesise_for_ratio

TOLERANCE = 0.01
"""Relative, of the MAC ratio of the integer decisions."""

ROUNDS = 8
"""Networks that are drawn before a ratio is given up."""


@dataclass(frozen=True)
class Aimed:
    """A synthetic network in integers, and what its gates decide on N images.

    ``ranges`` are its activations' over the images, ``inputs`` int8 [N, height, width, channels], ``macs`` [N] those
    of each image, gates included, ``rounds`` how many networks were drawn. ``made.record`` is about the float network.
    """

    made: Synthetic
    ranges: dict[str, float]
    graph: QuantisedGraph
    inputs: npt.NDArray[np.int8]
    reference: ReferenceResult
    macs: npt.NDArray[np.int64]
    rounds: int

    @property
    def ratio(self) -> float:
        """Mean MACs over the images by those of the dense network: one counter for both."""
        return float(self.macs.mean()) / counted_macs(self.graph, None)

    def decisions(self, position: int) -> Decisions:
        """Every gate's decision on one image."""
        return decisions_of(self.reference, position)


def decisions_of(reference: ReferenceResult, position: int) -> Decisions:
    """Every gate's decision on one of the reference's images."""
    return {name: decided[position] for name, decided in reference.decisions.items()}


def aim_for_ratio(
    spec: NetworkSpec, images: ImageSet, ratio: float, seed: int, channel_part: float = 0.5, spread: float = 0.0
) -> Aimed:
    """As ``synthesise_for_ratio``, with the MAC ratio of the integer decisions within ``TOLERANCE`` of ``ratio``.

    The network is drawn from the same seed again and again; what its integer decisions miss is made good in what the
    float ones are to have. The masks' shape is the images': their correlation length is that of the masks.

    Raises
    ------
    GatewrightError
        As ``synthesise_for_ratio``; or the ratio was not met in ``ROUNDS`` rounds.
    """
    pixels, aim = images.normalised(), ratio
    for number in range(1, ROUNDS + 1):
        made = synthesise_for_ratio(spec, images, aim, seed, channel_part, spread)
        float_graph = capture(made.network, spec.input_shape)
        ranges = calibrate(float_graph, pixels)
        graph = quantise(float_graph, ranges)
        inputs = quantise_input(pixels, graph)
        reference = run_reference(graph, inputs)
        macs = np.array([counted_macs(graph, decisions_of(reference, image)) for image in range(len(images))])
        aimed = Aimed(made, ranges, graph, inputs, reference, macs, number)
        if abs(aimed.ratio - ratio) <= TOLERANCE * ratio:
            return aimed
        aim += ratio - aimed.ratio
    raise GatewrightError(
        f"{made.spec.name}: integer decisions have a MAC ratio of {aimed.ratio:.4f} after {ROUNDS} rounds, not "
        f"{ratio:g}; give more images"
    )
