"""Planes: how a map lies that a grouped convolution reads.

Channels that a block of filters reads lie together, [plane][y][x][channel], so that GATHER reads them and no others. A
convolution of groups becomes one of each plane, by filters that have zeros outside their group.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.depthwise import in_epilogue
from gatewright.compiler.plan.filters import FilterBank, cut_in_planes
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Space


@dataclass(frozen=True)
class PlaneWidths:
    """Channels of a plane, and the filters that read it; the last plane may have fewer of both."""

    channels: int
    filters: int


@dataclass(frozen=True)
class Plane:
    """Channels [first, first + count) of a map."""

    first: int
    count: int


def plane_widths(layer: QuantisedConv, arch: ArchConfig) -> PlaneWidths:
    """Of the planes that a grouped convolution reads: whole groups, as many as the array has columns for."""
    filters, channels = layer.group_shape
    groups = max(1, min(layer.groups, arch.columns // filters))
    return PlaneWidths(groups * channels, groups * filters)


def widths_by_map(graph: QuantisedGraph, arch: ArchConfig, live: bool = False) -> dict[str, int]:
    """Channels of a plane of every map that lies in planes."""
    grouped = (layer for layer in graph.layers if isinstance(layer, QuantisedConv) and layer.groups > 1)
    return {
        layer.source: plane_widths(layer, arch).channels
        for layer in grouped
        if not in_epilogue(layer, graph, arch, live) and not in_slices(layer)
    }


def check_planes(graph: QuantisedGraph, arch: ArchConfig, pitches: Collection[str], live: bool = False) -> None:
    """A map in planes is written on the array, for the one that reads it, and is in no concatenation."""
    widths = widths_by_map(graph, arch, live)
    convolutions = [layer for layer in graph.layers if isinstance(layer, QuantisedConv)]
    for layer in convolutions:
        if layer.source not in widths or layer.groups == 1:
            continue
        writer = next((other for other in convolutions if other.output == layer.source), None)
        made = writer is not None and writer.continued is None
        made = made and not (writer is not None and writer.groups > 1 and in_epilogue(writer, graph, arch))
        alone = sum(layer.source in other.reads for other in graph.layers) == 1
        if not (made and alone) or {layer.source, layer.output} & {*pitches}:
            raise GatewrightError(
                f"arch {arch.name}: layer {layer.name} has {layer.groups} groups and is multiplied on the array, in "
                f"planes of its input {layer.source}; that is read elsewhere, too, or not written on the array, "
                "or it is a part of a concatenation; use an arch with depthwise, and more parameter_entries"
            )


def in_slices(layer: QuantisedConv) -> bool:
    """Whether a grouped convolution on the array reads its planes as slices of an ordinary map: GATHER's pixel pitch.

    A kernel of one column is: the bytes that it reads lie together.
    """
    return layer.normalises and not layer.gates


def planes(channels: int, width: int) -> tuple[Plane, ...]:
    """The planes of a map of ``channels``."""
    return tuple(Plane(first, min(width, channels - first)) for first in range(0, channels, width))


def weights_in_planes(layer: QuantisedConv, widths: PlaneWidths) -> npt.NDArray[np.int8]:
    """The filters over the reduction of their plane [filters, taps * channels of a plane].

    A plane of fewer channels has a shorter one, taps behind one another, and zeros behind it.
    """
    filters, channels = layer.group_shape
    taps = layer.weight.shape[1] * layer.weight.shape[2]
    flat = np.zeros((len(layer.weight), taps * widths.channels), np.int8)
    for plane in range(0, len(flat), widths.filters):
        rows = layer.weight[plane : plane + widths.filters].reshape(-1, taps, channels)
        groups = len(rows) // filters
        dense = np.zeros((len(rows), taps, groups, channels), np.int8)
        for group in range(groups):
            dense[group * filters : (group + 1) * filters, :, group] = rows[group * filters : (group + 1) * filters]
        flat[plane : plane + len(rows), : taps * groups * channels] = dense.reshape(len(rows), -1)
    return flat


def grouped_bank(layer: QuantisedConv, arch: ArchConfig) -> FilterBank:
    """How its filters are cut; where they lie is not yet known."""
    widths, taps = plane_widths(layer, arch), layer.weight.shape[1] * layer.weight.shape[2]
    filters, gate = len(layer.weight), layer.output_channels
    sizes = filters, taps * widths.channels, taps
    bank = FilterBank(
        layer.name, 0, Space.WEIGHTS_BY_VECTOR, filters, 0, *sizes, gate=None, group=0, pieces=(), output_gate=gate
    )
    return cut_in_planes(bank, arch, widths.filters)
