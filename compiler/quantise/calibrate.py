"""Find the range of every tensor from sample images: what becomes the int8 scales."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.kinds.max_pool import FloatMaxPool
from gatewright.compiler.kinds.pooling import pooled_name
from gatewright.compiler.quantise.streams import pooling_tiles, residual_streams
from gatewright.compiler.quantise.zero_points import zero_points
from gatewright.contract.errors import GatewrightError

BINS = 4096
"""Bins of the histogram of magnitudes that a clip is chosen from."""

CANDIDATES = 96
"""Clips that are tried, evenly from a quarter of the largest magnitude up to it."""


def calibrate(graph: FloatGraph, images: npt.NDArray[np.float32]) -> dict[str, float]:
    """The magnitude that becomes 127, for every tensor of the graph.

    Of the clips that are tried the one with the least mean squared error of rounding and clipping is
    taken. Tensors of a residual stream share one range, and so do their pooled maps. Of a map before a
    max pool, which shares the range of the map behind it, only that one counts: nothing else is read. Of a
    concatenation each part counts once.

    Parameters
    ----------
    graph
        The network.
    images
        Normalised images [N, C, H, W], from the training set; a few hundred are enough.

    Returns
    -------
    dict
        Ranges by tensor name: feature maps, ``<map>.pooled`` for each map that a gate looks at,
        ``<gate>.hidden`` for each channel gate. A tensor that is always 0 has range 1.

    Raises
    ------
    GatewrightError
        No images, the wrong shape, or a tensor that is not finite.
    """
    shape = graph.shapes[graph.input]
    expected = (shape.channels, shape.height, shape.width)
    if images.ndim != 4 or images.shape[1:] != expected or len(images) == 0:
        raise GatewrightError(
            f"calibration images have shape {list(images.shape)}; the network needs "
            f"[N, {', '.join(map(str, expected))}] "
            "with at least one image"
        )
    streams, tiles, zeros = residual_streams(graph), pooling_tiles(graph), zero_points(graph)
    passing = {layer.source for layer in graph.layers if isinstance(layer, FloatMaxPool)}
    appended = {
        layer.output: len(layer.weight) for layer in graph.layers if isinstance(layer, FloatConv) and layer.appended_to
    }
    largest: dict[str, float] = {}
    histograms: dict[str, Tensor] = {}
    members: dict[str, str] = {}

    def groups(name: str, values: Tensor) -> list[tuple[str, Tensor]]:
        members[name] = streams.get(name, name)
        values = values[:, -appended.get(name, 0) :]
        found = [] if name in passing else [(members[name], values)]
        if name in tiles:
            members[pooled_name(name)] = pooled_name(streams[name])
            height, width = (-size % tiles[name] for size in values.shape[2:])
            found.append((members[pooled_name(name)], F.avg_pool2d(F.pad(values, (0, width, 0, height)), tiles[name])))
        return found

    def see_largest(name: str, values: Tensor) -> None:
        for group, content in groups(name, values):
            peak = float(content.abs().max())
            if not np.isfinite(peak):
                raise GatewrightError(f"tensor {name} is not finite on the calibration images; check the checkpoint")
            largest[group] = max(largest.get(group, 0.0), peak)

    def count(name: str, values: Tensor) -> None:
        for group, content in groups(name, values):
            if largest[group] > 0:
                seen = torch.histc(content.abs(), BINS, 0, largest[group]).double()
                histograms[group] = histograms.get(group, torch.zeros(BINS, dtype=torch.float64)) + seen

    run_float(graph, images, see_largest)
    run_float(graph, images, count)
    ranges = {
        group: _best_clip(histograms[group].numpy(), peak, zeros.levels(group)) if peak > 0 else 1.0
        for group, peak in largest.items()
    }
    return {name: ranges[group] for name, group in members.items()}


def _best_clip(histogram: npt.NDArray[np.float64], largest: float, levels: int) -> float:
    """The clip with the least mean squared error in so many steps, for magnitudes with this histogram."""
    centres = (np.arange(len(histogram)) + 0.5) * (largest / len(histogram))
    clips = largest * np.linspace(0.25, 1.0, CANDIDATES)
    steps = clips[:, None] / levels
    restored = np.minimum(np.floor(centres / steps + 0.5), levels) * steps
    errors = ((restored - centres) ** 2 * histogram).sum(1)
    return float(clips[errors.argmin()])
