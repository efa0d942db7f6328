"""Networks for a spec whose weights are drawn from a seed and whose gates have given densities.

They stand in for trained ones where no weights exist: a machine's cycles depend on shapes and masks, not on what the
network has learned. They have no accuracy, and their names say ``synthetic``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.network import Network
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.calibration import calibrate_network
from gatewright.models.synthetic.densities import Densities, densities_for_ratio
from gatewright.models.training.evaluation import evaluate_float

TOLERANCE = 0.005
"""Relative, of a MAC ratio that is aimed for."""


@dataclass(frozen=True)
class Record:
    """What a synthetic network was made of, and what it reached on the images that it was calibrated with.

    ``wanted`` and ``reached`` are densities by block; ``mac_ratio`` is mean gated MACs by dense ones, gates included.
    ``spatial_dependent`` and ``channel_dependent`` are the shares of decisions that are on for between 1% and 99% of
    the images; None without such gates.
    """

    network: str
    seed: int
    images: int
    images_from: str
    wanted: Densities
    reached: Densities
    mac_ratio: float
    spatial_dependent: float | None
    channel_dependent: float | None


@dataclass(frozen=True)
class Synthetic:
    """A drawn network in evaluation mode, its spec, which says that it is one, and its record."""

    network: Network
    spec: NetworkSpec
    record: Record


def synthesise(
    spec: NetworkSpec,
    images: ImageSet,
    wanted: Callable[[Network], Densities],
    seed: int,
    hold_macs: bool = False,
) -> Synthetic:
    """Draw a network and set its gates so that densities hold on average over images.

    Parameters
    ----------
    spec
        What to draw; ``target_density`` is part of the name only.
    images
        To calibrate with, of ``spec.size`` pixels: photographs, or ``noise.noise_images``. On others densities hold
        about as well as these are many.
    wanted
        The densities for a network of the spec: of ``densities.densities`` or ``densities_for_ratio``.
    seed
        Of the weights. The same seed, images, versions and number of threads give the same bytes; torch's global
        generator is left as it was.
    hold_macs
        Hold the mean MACs that go with the densities at the cost of single blocks' densities; see
        ``calibrate_network``.

    Raises
    ------
    GatewrightError
        The images are alike, or of another size.
    """
    if len(images) < 2:
        raise GatewrightError(f"{len(images)} image is too few to calibrate a synthetic network with; give at least 2")
    images.check_size(spec.size)
    spec = replace(spec, synthetic=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = spec.build()
        densities = wanted(network)
        calibrate_network(network, torch.from_numpy(images.normalised()), densities, hold_macs)
    found = evaluate_float(network, images)
    reached = Densities(*(tuple(found[f"{kind}_density"]) for kind in ("spatial", "channel")))  # type: ignore[arg-type]
    spatial, channel = (found.get(f"{kind}_dependent") for kind in ("spatial", "channel"))
    assert isinstance(spatial, float | None) and isinstance(channel, float | None)
    ratio = found["mac_ratio"]
    assert isinstance(ratio, float)
    record = Record(spec.name, seed, len(images), images.source.name, densities, reached, ratio, spatial, channel)
    return Synthetic(network, spec, record)


def synthesise_for_ratio(
    spec: NetworkSpec, images: ImageSet, ratio: float, seed: int, channel_part: float = 0.5, spread: float = 0.0
) -> Synthetic:
    """As ``synthesise``, with densities such that the mean MAC ratio over the images is ``ratio`` within ``TOLERANCE``.

    ``channel_part`` and ``spread`` are those of ``densities_for_ratio``; the spread is drawn from the same seed. What
    the densities of blocks are then moved by, so that the ratio holds, the record shows.
    """

    def wanted(network: Network) -> Densities:
        return densities_for_ratio(network, ratio, channel_part, spread, seed)

    made = synthesise(spec, images, wanted, seed, hold_macs=True)
    if abs(made.record.mac_ratio - ratio) > TOLERANCE * ratio:
        raise GatewrightError(
            f"{made.spec.name}: a MAC ratio of {made.record.mac_ratio:.4f} was reached, not {ratio:g}; calibrate "
            "it with more images"
        )
    return made
