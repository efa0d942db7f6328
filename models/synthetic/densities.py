"""The densities that the gates of a synthetic network are to have, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.network import Network

LEAST = 0.05
"""No gate is wanted with less of its decisions on."""

_STEPS = 60
"""Halvings in the search for a MAC ratio."""


@dataclass(frozen=True)
class Densities:
    """Per block, the mean share of its tiles and of its channels that are on; 1 where it has no such gate.

    Two channel gates of a block have the same.
    """

    spatial: tuple[float, ...]
    channel: tuple[float, ...]


def densities(network: Network, spatial: float, channel: float, spread: float = 0.0, seed: int = 0) -> Densities:
    """Given densities in every block, or densities around them.

    With a ``spread``, those of the blocks are drawn from normal distributions of this standard deviation, and kept
    between ``LEAST`` and 1, which moves their mean. A gate that a network does not have is always on; the density of
    one that has no gates cannot be less than 1.
    """
    gated = _gated(network)
    for density, has_gates in ((spatial, gated[0]), (channel, gated[1])):
        if not LEAST <= density <= 1:
            raise GatewrightError(f"a density of {density:g} is not between {LEAST} and 1")
        if density < 1 and not has_gates.any():
            raise GatewrightError(f"a network with gates {network.gating!r} cannot have densities {spatial}, {channel}")
    drawn = np.random.default_rng(seed).normal(0, spread, (2, len(network.blocks())))
    wanted = np.clip(np.array([[spatial], [channel]]) + drawn, LEAST, 1)
    both: npt.NDArray[np.float64] = np.where(gated, wanted, 1.0)
    return Densities(tuple(both[0].tolist()), tuple(both[1].tolist()))


def _gated(network: Network) -> npt.NDArray[np.bool_]:
    """[2, blocks]: which blocks have spatial gates, and which have channel gates."""
    return np.array([[getattr(block, has) for block in network.blocks()] for has in ("has_tiles", "has_channels")])


def expected_ratio(network: Network, wanted: Densities) -> float:
    """Mean gated MACs of the network by its dense ones, if tiles and channels of a block are on independently."""
    macs = float(network.ungated_macs())
    for block, spatial, channel in zip(network.blocks(), wanted.spatial, wanted.channel, strict=True):
        macs += block.gate_macs() + block.expected_macs(spatial, channel)
    return macs / network.dense_macs()


def densities_for_ratio(
    network: Network, ratio: float, channel_part: float = 0.5, spread: float = 0.0, seed: int = 0
) -> Densities:
    """The densities with which a network has a MAC ratio, by ``expected_ratio``.

    Parameters
    ----------
    network
        Its gates decide what can have a density.
    ratio
        Mean gated MACs by dense ones, gates included.
    channel_part
        How much of what is saved the channel gates save: 0 tiles alone, 0.5 equal densities of both, 1 channels alone.
        It counts for dual gates only.
    spread, seed
        See ``densities``.

    Raises
    ------
    GatewrightError
        No densities between ``LEAST`` and 1 have this ratio.
    """
    if network.gating == "none":
        raise GatewrightError("a network without gates has a MAC ratio of 1")
    part, gated = channel_part, _gated(network)
    if not gated[1].any():
        part = 0.0
    elif not gated[0].any():
        part = 1.0

    def at(product: float) -> Densities:
        return densities(
            network, max(LEAST, product ** (1 - part)), max(LEAST, product**part), spread=spread, seed=seed
        )

    low, high = LEAST**2, 1.0
    least, most = (expected_ratio(network, at(product)) for product in (low, high))
    if not least <= ratio <= most:
        raise GatewrightError(
            f"no densities from {LEAST} to 1 give a MAC ratio of {ratio:g} with a spread of {spread:g}; it can be from "
            f"{least:.3f} to {most:.3f}"
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_ratio(network, at(middle)) < ratio else (low, middle)
    return at((low + high) / 2)
