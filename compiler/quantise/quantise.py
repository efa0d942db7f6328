"""From a ``FloatGraph`` and its ranges to the machine's integers."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import FloatGraph, FloatLayer, QuantisedGraph
from gatewright.compiler.graph.verify import verify_quantised
from gatewright.compiler.kinds.pooling import quantised_pooling
from gatewright.compiler.quantise.ranges import check_ranges
from gatewright.compiler.quantise.streams import pooling_tiles
from gatewright.compiler.quantise.zero_points import zero_points
from gatewright.contract.arithmetic import INT8_MAX, INT8_MIN
from gatewright.contract.errors import GatewrightError


def quantise(graph: FloatGraph, ranges: dict[str, float]) -> QuantisedGraph:
    """Turn a captured network into int8 weights and activations.

    Parameters
    ----------
    graph
        The network.
    ranges
        From ``calibrate``: the magnitude that becomes 127, by tensor.

    Raises
    ------
    GatewrightError
        A weight is not a finite real number; a range is missing, not positive, of no tensor, or differs
        along a residual; an accumulator could leave int32; a gate's bins do not fit the tiles of the map
        that it looks at.
    """
    for each in graph.layers:
        _check_weights(each)
    check_ranges(ranges, graph)
    tiles = pooling_tiles(graph)
    quantiser = Quantiser(graph, ranges, tiles)
    for layer in graph.layers:
        quantiser.result.layers.append(layer.quantise(quantiser))
        for tensor in tiles.keys() & set(layer.writes):
            quantiser.result.layers.append(quantised_pooling(tensor, tiles[tensor], quantiser))
    verify_quantised(quantiser.result)
    return quantiser.result


def quantise_input(images: npt.NDArray[np.float32], graph: QuantisedGraph) -> npt.NDArray[np.int8]:
    """Normalised images [N, C, H, W] as the machine's input [N, H, W, C]: divided by its scale, rounded, saturated."""
    shape = graph.shapes[graph.input]
    expected = (shape.channels, shape.height, shape.width)
    if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != expected:
        raise GatewrightError(
            f"images are {images.dtype} {list(images.shape)}; this network takes normalised float32 "
            f"[N, {', '.join(map(str, expected))}]"
        )
    images = images if graph.scaling is None else graph.scaling.apply(images)
    scaled = images.transpose(0, 2, 3, 1).astype(np.float64) / graph.input_scale
    return np.ascontiguousarray(np.clip(np.rint(scaled), INT8_MIN, INT8_MAX).astype(np.int8))


class Quantiser:
    """What a layer finds when it is quantised.

    ``result`` has the quantised layers so far and the scales of the tensors between them; ``tiles``
    is the edge of the pooled tiles of each feature map that a gate looks at, ``zeros`` what stands for 0 in each map.
    """

    def __init__(self, graph: FloatGraph, ranges: dict[str, float], tiles: dict[str, int]) -> None:
        self.ranges, self.tiles, self.zeros = ranges, tiles, zero_points(graph)
        zeros = {tensor: self.zeros.of(tensor) for tensor in self.zeros.shifted}
        self.result = QuantisedGraph(graph.input, shapes=dict(graph.shapes), scaling=graph.scaling, zeros=zeros)
        self.scale(graph.input)

    def scale(self, tensor: str) -> float:
        """The value of one unit of a tensor, from its range."""
        self.result.scales[tensor] = self.ranges[tensor] / self.zeros.levels(tensor)
        return self.result.scales[tensor]


def _check_weights(layer: FloatLayer) -> None:
    """Every number of a layer must be a finite real one: a NaN would become some integer."""
    for name in (field.name for field in fields(layer)):
        value = getattr(layer, name)
        if isinstance(value, np.ndarray) and value.dtype.kind != "f":
            raise GatewrightError(
                f"layer {layer.name}: {name} is {value.dtype}; weights are real floating-point numbers"
            )
        if isinstance(value, np.ndarray | float) and not np.isfinite(value).all():
            raise GatewrightError(f"layer {layer.name}: {name} is not finite; check the checkpoint")
