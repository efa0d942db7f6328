"""Synthetic networks whose integer decisions have a wanted MAC ratio: what a table of cycles is measured on.

``models/synthetic`` sets thresholds for the float network. Int8 turns some decisions over, and what a machine saves
follows the integers: here their thresholds are set once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph, QuantisedLayer
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import Batch, ReferenceResult, run_reference
from gatewright.compiler.graph.verify import verify_quantised
from gatewright.compiler.kinds.channel_gate import QuantisedChannelGate
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.network import Network
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.densities import Densities, densities_for_ratio
from gatewright.models.synthetic.synthesis import Synthetic, synthesise_for_ratio

TOLERANCE = 0.01
"""Relative, of the MAC ratio of the integer decisions."""

ROUNDS = 8
"""Thresholds that are tried before a ratio is given up."""

_LARGEST_SHIFT = 1 << 28
"""Beyond the logits of any gate that GATHER can count the reduction of: 9 * 512 * 127 * 128 are 2**26.2."""

Gate = TypeVar("Gate", QuantisedSpatialGate, QuantisedChannelGate)


@dataclass(frozen=True)
class Aimed:
    """A synthetic network in integers, and what its gates decide on N images.

    ``graph`` is the network of ``made`` but for the gates' biases. ``inputs`` are int8 [N, height, width, channels],
    ``macs`` [N] those of each image, gates included, ``rounds`` is how many thresholds were tried.
    """

    made: Synthetic
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
        return {name: decided[position] for name, decided in self.reference.decisions.items()}


def aim_for_ratio(
    spec: NetworkSpec, images: ImageSet, ratio: float, seed: int, channel_part: float = 0.5, spread: float = 0.0
) -> Aimed:
    """As ``synthesise_for_ratio``, with the MAC ratio of the integer decisions within ``TOLERANCE`` of ``ratio``.

    Densities of the integer gates hold in every block, to one decision. How far masks are correlated over tiles is
    up to the images (see ``noise_images``), in the first stages more than in the last.

    Raises
    ------
    GatewrightError
        As ``synthesise_for_ratio``; or the ratio was not met in ``ROUNDS`` rounds.
    """
    pixels = images.normalised()
    made = synthesise_for_ratio(spec, images, ratio, seed, channel_part, spread)
    float_graph = capture(made.network, spec.input_shape)
    graph = quantise(float_graph, calibrate(float_graph, pixels))
    inputs, dense = quantise_input(pixels, graph), counted_macs(graph, None)
    tried: dict[float, float] = {}
    for number in range(1, ROUNDS + 1):
        aim = _next_aim(tried, ratio)
        wanted = _of_gates(made.network, densities_for_ratio(made.network, aim, channel_part, spread, seed))
        set_graph, macs = with_densities(graph, inputs, wanted)
        tried[aim] = float(macs.mean()) / dense
        if abs(tried[aim] - ratio) <= TOLERANCE * ratio:
            return Aimed(made, set_graph, inputs, run_reference(set_graph, inputs), macs, number)
    raise GatewrightError(
        f"{made.spec.name}: integer decisions have a MAC ratio of {tried[aim]:.4f} after {ROUNDS} rounds, not "
        f"{ratio:g}; give more images"
    )


@torch.no_grad()
def with_densities(
    graph: QuantisedGraph, inputs: npt.NDArray[np.int8], wanted: Densities
) -> tuple[QuantisedGraph, npt.NDArray[np.int64]]:
    """The network with gates' biases such that densities hold on average over images, and each image's MACs [N].

    Parameters
    ----------
    graph
        A network whose gates are those of ``wanted``'s blocks, in order; a block may have several channel gates.
    inputs
        Images int8 [N, height, width, channels].
    wanted
        By block with gates. A gate with a density of 1 keeps its bias: ``synthesise`` made it one that is always on.
    """
    batches = [Batch(graph, inputs[position : position + 1]) for position in range(len(inputs))]
    spatial = iter(wanted.spatial)
    channel = _by_gate([la.name for la in graph.layers if isinstance(la, QuantisedChannelGate)], wanted.channel)
    layers: list[QuantisedLayer] = []
    for layer in graph.layers:
        if isinstance(layer, QuantisedSpatialGate):
            layer = _with_density(layer, next(spatial), batches)
        elif isinstance(layer, QuantisedChannelGate):
            layer = _with_density(layer, channel[layer.name], batches)
        for batch in batches:
            layer.run(batch)
        layers.append(layer)
    result = replace(graph, layers=layers)
    verify_quantised(result)
    decided = ({name: mask[0].numpy() for name, mask in batch.masks.items()} for batch in batches)
    return result, np.array([counted_macs(result, decisions) for decisions in decided])


def _of_gates(network: Network, wanted: Densities) -> Densities:
    """The densities of the blocks that have such gates: of a MobileNetV2 not all do."""
    spatial = (density for block, density in zip(network.blocks(), wanted.spatial, strict=True) if block.has_tiles)
    channel = (density for block, density in zip(network.blocks(), wanted.channel, strict=True) if block.has_channels)
    return Densities(tuple(spatial), tuple(channel))


def _by_gate(names: Sequence[str], densities: Sequence[float]) -> dict[str, float]:
    """The densities of channel gates, given by block: gates of one block have its name in front."""
    blocks = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    of = dict(zip(blocks, densities, strict=bool(blocks)))
    return {name: of[name.rpartition(".")[0]] for name in names}


def _with_density(gate: Gate, density: float, batches: list[Batch]) -> Gate:
    """The gate with its bias shifted until the share of decisions that are on is the nearest to a density."""
    if density == 1:
        return gate

    def shifted(shift: int) -> Gate:
        return replace(gate, bias=gate.bias + shift)

    def off_by(shift: int) -> float:
        for batch in batches:
            shifted(shift).run(batch)
        return float(torch.cat([batch.masks[gate.name] for batch in batches]).double().mean()) - density

    low, high = -_LARGEST_SHIFT, _LARGEST_SHIFT  # all off, all on
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if off_by(middle) < 0 else (low, middle)
    return shifted(min(low, high, key=lambda shift: abs(off_by(shift))))


def _next_aim(tried: dict[float, float], wanted: float) -> float:
    """What to aim for after tries {aim: found}: between the nearest on either side of what is wanted.

    While all are on one side, the last one is off by what it missed.
    """
    below = [(found, aim) for aim, found in tried.items() if found < wanted]
    above = [(found, aim) for aim, found in tried.items() if found >= wanted]
    if below and above:
        nearest = max(below), min(above)
        return float(np.interp(wanted, [found for found, _ in nearest], [aim for _, aim in nearest]))
    aim, found = list(tried.items())[-1] if tried else (wanted, wanted)
    return aim + wanted - found
