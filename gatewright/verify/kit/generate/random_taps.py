"""Random spatial gates for the random networks: a convolution's signs, or the kind TAPS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import most_taps_window
from gatewright.contract.isa import EpilogueKind
from gatewright.verify.kit.generate.builder import Map, Mark
from gatewright.verify.kit.generate.layers import emit_whole
from gatewright.verify.kit.generate.oracle import conv_sums
from gatewright.verify.kit.generate.taps import Taps, emit_taps, fit, tap_sums

if TYPE_CHECKING:
    from gatewright.verify.kit.generate.random_programs import Network


def spatial_gate(network: Network, source: Map, destination: int) -> tuple[npt.NDArray[np.bool_], Mark]:
    """A bit for each pixel of a map, [y, x], into a mask from bit ``destination`` on; when they are there."""
    rng, (height, width, channels) = network.rng, source.values.shape
    window = int(rng.integers(1, most_taps_window(network.arch.columns) + 1))
    if rng.integers(2) or not fit(network.build, source, window):
        gate = network.filters(1, (3, 3), channels)
        on = conv_sums(source.values, gate.weights, 1, 1)[..., 0] + gate.entries[1][0] >= 0
        return on, emit_whole(network.build, source, gate, EpilogueKind.THRESHOLD, destination, source.ready)
    taps = Taps(
        window,
        1,
        int(rng.integers(window)),
        height,
        width,
        pixel_split=int(rng.choice([1, 7, 1000])),
        beyond=int(rng.integers(4)),
    )
    filters = network.filters(window**2, (1, 1), channels)
    total = tap_sums(source.values, filters.weights, taps) + filters.entries[1][0]
    on = total.astype(np.int32) >= 0  # a register of 32 bits
    return on, emit_taps(network.build, source, filters, taps, destination, source.ready)
