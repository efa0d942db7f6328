"""Random convolutions whose kernels' pixels do not lie side by side, for the random networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatewright.verify.kit.generate.builder import Map

if TYPE_CHECKING:
    from gatewright.verify.kit.generate.random_programs import Network


def apart_layer(network: Network, source: Map) -> Map:
    """A random convolution that reads the first channels of ``source``, or whose kernel is dilated, or both."""
    height, width, channels = source.values.shape
    widest = min(4, min(height, width) - 1)
    some = int(network.rng.integers(1, channels + 1)) if network.rng.integers(2) else None
    dilation = int(network.rng.integers(2, widest + 1)) if widest > 1 and network.rng.integers(4) else 1
    return network.layer(source, some_channels=some, dilation=dilation)
