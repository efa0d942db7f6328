"""Networks with early exits whose weights are drawn, and at whose exits given shares of images leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.calibration import calibrate_network, threshold
from gatewright.models.synthetic.densities import densities


@torch.no_grad()
def set_exits(network: EarlyExits, images: Tensor, shares: Sequence[float]) -> None:
    """Set thresholds in order of execution, so that of all images a share leaves at each gate.

    ``images`` [N, 3, size, size] are normalised. What is left of 1 goes to the end. An image counts for a gate if it
    has not left before. Fewer than two images for a gate, or shares that are not between 0 and 1 in all, are a
    ``GatewrightError``.
    """
    gates = network.gates()
    if len(shares) != len(gates) or min(shares) <= 0 or sum(shares) >= 1:
        raise GatewrightError(
            f"shares {list(shares)} for {len(gates)} early exits; give one each, above 0, below 1 in all"
        )
    staying = torch.ones(len(images), dtype=torch.bool)
    for gate, distances, share in zip(gates, network.eval().all_answers(images), shares, strict=False):
        present = distances[staying].amax(1)
        if len(present) < 2:
            raise GatewrightError(f"{len(present)} images are left for an early exit; give more than {len(images)}")
        gate.threshold = threshold(present, share * len(images) / len(present))
        staying &= ~gate.answers(distances)


def synthesise_exits(
    spec: NetworkSpec, images: ImageSet, shares: Sequence[float], seed: int
) -> tuple[EarlyExits, NetworkSpec]:
    """Draw a network with early exits, and its spec, which says that it is drawn.

    Parameters
    ----------
    spec
        Of a family with early exits.
    images
        To set batch norms and thresholds with, of ``spec.size`` pixels.
    shares
        Of the images, those that leave at each exit; the rest stays until the end.
    seed
        Of the weights; torch's global generator is left as it was.
    """
    images.check_size(spec.size)
    pixels = torch.from_numpy(images.normalised())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = spec.build()
        if not isinstance(network, EarlyExits):
            raise GatewrightError(f"{spec.name} has no early exits; take the family resnet-cifar-exits")
        calibrate_network(network.network, pixels, densities(network.network, 1, 1), hold_macs=False)
    with torch.no_grad():
        for gate, distances in zip(network.gates(), network.all_answers(pixels), strict=False):
            gate.fc.bias.sub_(distances.mean(0))  # else all images would leave by the same class
    set_exits(network, pixels, shares)
    return network.eval(), replace(spec, synthetic=True)
