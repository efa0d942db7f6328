"""A spatial gate's product: of its kernel as one filter, or of each place of the kernel as a filter of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatewright.compiler.graph.graph import TensorShape
from gatewright.compiler.plan.filters import RESIDENT_SHARE
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import most_taps_window
from gatewright.contract.timing import ACCUMULATOR_LATENCY, EPILOGUE_LATENCY, EPILOGUE_SETUP

if TYPE_CHECKING:
    from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate


def by_taps(gate: QuantisedSpatialGate, shape: TensorShape, arch: ArchConfig) -> bool:
    """Whether every pixel of the map ``shape`` is multiplied by a 1x1 filter for each place of the kernel.

    EPILOGUE's kind TAPS adds them up, which is the same integer. It is done where it fits and takes fewer cycles than
    the products of the kernel's patches, the slower one of GATHER and ARRAY counted.
    """
    edge, pixels, bits = gate.weight.shape[1], shape.height * shape.width, gate.grid[0] * gate.grid[1]
    slices, places = slices_of(shape.channels, arch), edge * edge
    resident, of = RESIDENT_SHARE
    fits = edge <= most_taps_window(arch.columns) and pixels <= arch.accumulator_depth
    if not fits or slices * padded_vectors(places) * of > arch.weight_words * resident:
        return False
    gathers = bits * edge * -(-edge * shape.channels // arch.gather_bytes)
    block = max(ACCUMULATOR_LATENCY, -(-arch.columns // arch.load_vectors))
    multiplies = -(-bits // arch.columns) * slices_of(places * shape.channels, arch) * block
    sums = EPILOGUE_SETUP + bits * (places + 1) + EPILOGUE_LATENCY
    return slices * max(pixels, ACCUMULATOR_LATENCY) + sums < max(gathers, multiplies)
