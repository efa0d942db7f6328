"""Maps whose smallest integer stands for 0: 255 steps behind a ReLU, where 0 to 127 are 127.

The machine multiplies integers, and its integer 0 is a map's 0 wherever it puts zeros: outside the border of a padded
map, in tiles and channels that a gate leaves out, in sums with a residual. Where nothing of this happens to a map, -128
may be its 0. What writes it then subtracts 128 behind its factor, which the bias takes along, and saturates at -128 in
place of its ReLU; what reads it adds 128 times the sum of each filter's integer weights to the bias, which is exact.
So the machine has nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN

MOST_PRODUCTS = 1 << 15
"""Products of a filter that reads such a map, at most: its sum and the shift of its bias stay within int32 then."""


@dataclass(frozen=True)
class ZeroPoints:
    """The integer that stands for 0 in each map, 127 for its range."""

    shifted: frozenset[str]
    """The maps where it is -128."""

    def of(self, tensor: str) -> int:
        """The integer of 0."""
        return INT8_MIN if tensor in self.shifted else 0

    def levels(self, tensor: str) -> int:
        """Steps from 0 to the range."""
        return INT8_MAX - self.of(tensor)


def zero_points(graph: FloatGraph) -> ZeroPoints:
    """Finds the maps behind a ReLU that ungated convolutions write, and unpadded ones alone read.

    Not those of which the network says that 0 stands for 0.
    """
    written = {
        layer.output
        for layer in graph.layers
        if isinstance(layer, FloatConv) and layer.relu and layer.continued is None and not layer.gates
    }
    written -= {tensor for tensor, rounding in graph.rounding.items() if rounding.zero == 0}
    for layer in graph.layers:
        reads = layer.reads
        if isinstance(layer, FloatConv) and _takes_a_shift(layer):
            reads = () if layer.continued is None else (layer.continued,)
        written.difference_update(reads)
        written.difference_update((layer.gives,))
    return ZeroPoints(frozenset(written))


def _takes_a_shift(layer: FloatConv) -> bool:
    """Whether a convolution's bias can take in what its source's 0 stands for."""
    ungated = layer.input_channels is None and layer.input_tiles is None
    return (
        ungated
        and not layer.beside
        and layer.padding == 0
        and not layer.averages
        and layer.weight[0].size <= MOST_PRODUCTS
    )
